"""From the name of a model to its weights, which are what their name promises."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import urllib.request
from pathlib import Path

import torch

from mmtal_mts.utils import UserError
from mmtal_mts.utils.io import atomic_write
from mmtal_mts.utils.shipped_files import shipped_folders

from .index import list_models, model_info

FOLDER = 'zoo'
VARIABLE = 'MMTAL_ZOO'
_NAMED_HASH = re.compile(r'-([0-9a-f]{8,64})\.pth$')
_TIMEOUT_S = 30


def find_weights(
    config: str | os.PathLike | None, zoo: str | os.PathLike | None = None
) -> Path:
    """Finds the released weights of a model, and checks that they are whole.

    Args:
        config (str | os.PathLike, optional): The model: its config file, or its name.
        zoo (str | os.PathLike, optional): Where released files are: a folder, or the
            web address of one, from which the file is fetched once. By default the
            environment variable ``MMTAL_ZOO``, or the folder ``zoo/`` here or in the
            clone.

    Returns:
        Path: The checkpoint ``NAME-HASH.pth``.

    Raises:
        UserError: If there is none, or its content is not what its name says.
    """
    name = Path(config or 'config').name
    name = name[:-3] if name.endswith('.py') else name
    zoo = os.fspath(zoo or os.environ.get(VARIABLE) or '')
    if '://' in zoo:
        return fetch(f'{zoo.rstrip("/")}/{_released_file(name, zoo)}')
    folders = [Path(zoo)] if zoo else list(shipped_folders(FOLDER))
    for folder in folders:
        found = sorted(folder.glob(f'{name}-*.pth'))
        found = [file for file in found if _NAMED_HASH.search(file.name)]
        if len(found) > 1:
            released = _released(name)
            found = [file for file in found if file.name == released] or found
        if found:
            return check_hash(found[-1])
    places = ', '.join(map(str, folders)) or f'{FOLDER}/ (there is none)'
    raise UserError(
        f'no weights of {name} in {places}. Remedy: train it by tools/train.py and '
        'give its checkpoint, e.g. --weights work_dirs/NAME/epoch_5.pth; or say where '
        f'released files are, by {VARIABLE}=FOLDER_OR_URL'
    )


def local_weights(weights: str | os.PathLike) -> Path:
    """Makes a checkpoint local.

    Args:
        weights (str | os.PathLike): A file, or the web address of a released one.

    Returns:
        Path: The file, fetched if need be.

    Raises:
        UserError: See :func:`fetch`.
    """
    text = os.fspath(weights)
    return fetch(text) if '://' in text else Path(text)


def fetch(url: str) -> Path:
    """Fetches a released file, unless that was done before.

    Args:
        url (str): Address, which ends with ``NAME-HASH.pth``.

    Returns:
        Path: The file among the checkpoints of ``torch.hub``.

    Raises:
        UserError: If the name holds no hash, the file is not there or not the right
            one; then nothing is kept.
    """
    name = url.rsplit('/', 1)[-1]
    if not _NAMED_HASH.search(name):
        raise UserError(
            f'{url} does not end with -HASH.pth, so that what comes could not be '
            'checked. Remedy: fetch it yourself and give the file'
        )
    path = Path(torch.hub.get_dir()) / 'checkpoints' / name
    if path.is_file():
        return check_hash(path)
    print(f'fetching {url}')
    try:
        with atomic_write(path) as temporary:
            with urllib.request.urlopen(url, timeout=_TIMEOUT_S) as response:
                with open(temporary, 'wb') as file:
                    shutil.copyfileobj(response, file)
            check_hash(temporary, name)
    except OSError as error:
        raise UserError(
            f'{url} cannot be fetched ({error}). Remedy: check the address and the '
            'network, or fetch it elsewhere and give the file'
        ) from error
    return path


def check_hash(path: Path, name: str | None = None) -> Path:
    """Checks that a file is the one that its name promises.

    Args:
        path: The file.
        name: ``NAME-HASH.pth``, by default the name of the file.

    Returns:
        The same path.

    Raises:
        UserError: If its SHA-256 does not begin with the hash.
    """
    wanted = _NAMED_HASH.search(name or path.name).group(1)
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if not found.startswith(wanted):
        raise UserError(
            f'{name or path}: the SHA-256 of the content begins with '
            f'{found[: len(wanted)]}, not with {wanted} as its name says, so it is '
            'damaged or another file. Remedy: get it again'
        )
    return path


def _released(name: str) -> str | None:
    """Name of the file that the metafile lists, if it does."""
    return model_info(name).weights if list_models(name) else None


def _released_file(name: str, zoo: str) -> str:
    released = _released(name)
    if released is None:
        raise UserError(
            f'no weights of {name} were released, so {zoo} cannot have them. Those '
            f'with weights: {", ".join(list_models(with_weights=True))}'
        )
    return released
