"""Loads checkpoints without ever running what they ask for; finds those of a work dir.

Everything that reads weights comes through here: the tools, ``pretrained`` of
backbones, the zoo, and the Runner's ``load_from`` and resume by MMEngine's
``CheckpointLoader``, in which the loaders register.
"""

from __future__ import annotations

import os
import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.logging import HistoryBuffer
from mmengine.model import is_model_wrapper
from mmengine.runner import CheckpointLoader
from torch import Tensor, nn

from .errors import UserError

try:
    from numpy._core import multiarray
except ImportError:  # numpy 1
    from numpy.core import multiarray

_EXAMPLES = 3


def load_checkpoint(path: str | os.PathLike, map_location: Any = 'cpu') -> dict:
    """Loads a local checkpoint or one at an address, weights only.

    Args:
        path: File that torch saved, or an address that MMEngine knows (``https://...``);
            what it downloads is kept in torch's cache.
        map_location: As in :func:`torch.load`.

    Returns:
        What the file holds.

    Raises:
        UserError: It is missing, torn, or holds more than weights and the state of a
            training.
    """
    path = os.fspath(path)
    load = CheckpointLoader.load_checkpoint if '://' in path else load_from_local
    return load(path, map_location)


def load_weights(path: str | os.PathLike, prefix: str = '') -> dict[str, Tensor]:
    """Reads the weights of a checkpoint.

    Args:
        path: As for :func:`load_checkpoint`.
        prefix: Take only the weights whose keys begin so, e.g. ``'backbone.'`` for a
            part of the network, and cut it off.

    Returns:
        The state dict, without the prefix that a wrapper for distributed training adds.

    Raises:
        UserError: The file is unusable or holds no such weights.
    """
    return _weights(load_checkpoint(path), path, prefix)


def load_model_weights(
    model: nn.Module, path: str | os.PathLike, prefix: str = ''
) -> dict:
    """Loads a whole model, on the CPU and strictly.

    Args:
        model: The model, not wrapped.
        path: As for :func:`load_checkpoint`.
        prefix: Of the keys, where the model is a part of the one that was saved.

    Returns:
        The checkpoint's ``meta``.

    Raises:
        UserError: The file is unusable or of another architecture.
    """
    checkpoint = load_checkpoint(path)
    weights = _weights(checkpoint, path, prefix)
    _check_fit(model.state_dict(), weights, path)
    model.load_state_dict(weights)
    return checkpoint.get('meta') or {}


def check_checkpoint(
    model: nn.Module, path: str | os.PathLike, resume: bool = False
) -> None:
    """Checks that a checkpoint fits a model, before MMEngine loads it leniently.

    Args:
        model: The model, wrapped for distributed training or not.
        path: As for :func:`load_checkpoint`.
        resume: Whether the state of the training is needed as well.

    Raises:
        UserError: The file is missing, unreadable or of another architecture.
    """
    checkpoint = load_checkpoint(path)
    model = model.module if is_model_wrapper(model) else model
    _check_fit(model.state_dict(), _weights(checkpoint, path), path)
    missing = {'meta', 'message_hub', 'optimizer'} - set(checkpoint)
    if resume and missing:
        raise UserError(
            f'checkpoint {path} holds weights but not the state of a training '
            f'({", ".join(sorted(missing))} missing), so nothing can be resumed from '
            f'it. Remedy: start from its weights with --cfg-options load_from={path}'
        )


def latest_checkpoint(work_dir: str | os.PathLike) -> str | None:
    """Finds the newest checkpoint from which training can go on.

    The one that the file ``last_checkpoint`` names comes first, also if the work dir
    has been moved. If it is gone or torn (training was killed while writing), the
    newest whole ``epoch_*.pth`` or ``iter_*.pth`` is taken.

    Args:
        work_dir: Folder of a training.

    Returns:
        Path of a whole checkpoint, or None.
    """
    work_dir = Path(work_dir)
    numbered = [*work_dir.glob('epoch_*.pth'), *work_dir.glob('iter_*.pth')]
    candidates = sorted(numbered, key=lambda path: (path.stat().st_mtime, path.name))
    pointer = work_dir / 'last_checkpoint'
    if pointer.is_file():
        named = Path(pointer.read_text(encoding='utf-8').strip())
        candidates += [work_dir / named.name, named]
    # A torch file is a zip archive, whose index comes last.
    whole = (p for p in candidates[::-1] if p.is_file() and zipfile.is_zipfile(p))
    return next(map(str, whole), None)


def fetch_checkpoint(url: str, sha256: str | None = None) -> Path:
    """Fetches a checkpoint once, into the checkpoints of :mod:`torch.hub`.

    Args:
        url: Its address.
        sha256: First digits of its SHA-256; with others nothing is kept.

    Raises:
        UserError: It cannot be fetched, or is another file.
    """
    path = Path(torch.hub.get_dir(), 'checkpoints', url.rsplit('/', 1)[-1])
    if not path.is_file():
        print(f'fetching {url}')
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            torch.hub.download_url_to_file(url, str(path), sha256, progress=False)
        # A false hash is a RuntimeError.
        except (OSError, RuntimeError) as error:
            raise UserError(
                f'{url} cannot be fetched whole ({error}). Remedy: check the address '
                'and the network, or fetch it elsewhere and give the file'
            ) from error
    return path


# MMEngine's own loader of addresses runs whatever a pickle asks for. Its log takes the
# names of the backends from those of the functions.
@CheckpointLoader.register_scheme(prefixes=['http://', 'https://'], force=True)
def load_from_http(filename: str, map_location: Any = 'cpu') -> dict:
    """Loader of MMEngine for addresses."""
    return load_from_local(str(fetch_checkpoint(filename)), map_location)


@CheckpointLoader.register_scheme(prefixes='', force=True)
def load_from_local(filename: str, map_location: Any = 'cpu') -> dict:
    """Loader of MMEngine for local paths."""
    filename = os.path.expanduser(filename)
    if not os.path.isfile(filename):
        raise UserError(
            f'checkpoint {filename} does not exist. '
            'Remedy: give the path of a .pth file, e.g. one of work_dirs/*/'
        )
    try:
        checkpoint = torch.load(filename, map_location, weights_only=True)
    except pickle.UnpicklingError as error:
        # Torch's own message advises to switch the safety off; ours does not.
        reason = str(error).split('WeightsUnpickler error:')[-1].strip()
        reason = reason.split('\n')[0].split('. ')[0]
        raise UserError(
            f'checkpoint {filename} holds something else than weights and a training '
            f'state, so it was not loaded: {reason}. Remedy: use a checkpoint that '
            'MMEngine wrote'
        ) from error
    # The legacy unpickler answers junk with whatever its opcodes lead to.
    except Exception as error:
        raise UserError(
            f'checkpoint {filename} cannot be read, it may be torn or no checkpoint at '
            f'all: {type(error).__name__}: {error}'
        ) from error
    if not isinstance(checkpoint, Mapping):
        raise UserError(
            f'checkpoint {filename} holds a {type(checkpoint).__name__}, not a dict'
        )
    return checkpoint


def _check_fit(
    wanted: Mapping[str, Tensor], found: Mapping[str, Tensor], path: str | os.PathLike
) -> None:
    """Checks every key and shape; MMEngine only warns of what does not fit."""
    shapes = [
        f'{key} is {tuple(found[key].shape)} instead of {tuple(value.shape)}'
        for key, value in wanted.items()
        if key in found and found[key].shape != value.shape
    ]
    problems = {
        'weights of the model are missing': [k for k in wanted if k not in found],
        'weights are unknown to the model': [k for k in found if k not in wanted],
        'have another shape': shapes,
    }
    if not any(problems.values()):
        return
    listed = '; '.join(
        f'{len(names)} {what} ({", ".join(names[:_EXAMPLES])}'
        f'{", ..." * (len(names) > _EXAMPLES)})'
        for what, names in problems.items()
        if names
    )
    fitting = len(wanted.keys() & found.keys()) - len(shapes)
    raise UserError(
        f'checkpoint {path} is of another architecture: {fitting} of the '
        f"model's {len(wanted)} weights fit; {listed}. "
        'Remedy: use the config it was trained with'
    )


def _weights(
    checkpoint: Mapping, path: str | os.PathLike, prefix: str = ''
) -> dict[str, Tensor]:
    """The weights of a checkpoint whose keys have a prefix, without it."""
    weights = checkpoint.get('state_dict', checkpoint)
    if not isinstance(weights, Mapping) or not any(
        isinstance(value, Tensor) for value in weights.values()
    ):
        raise UserError(
            f'checkpoint {path} holds no weights: its keys are '
            f'{sorted(map(str, checkpoint))[:10]}'
        )
    # A wrapper for distributed training puts its own prefix before each key.
    weights = {key.removeprefix('module.'): value for key, value in weights.items()}
    found = {k[len(prefix) :]: v for k, v in weights.items() if k.startswith(prefix)}
    if not found:
        raise UserError(
            f'checkpoint {path} holds no weights of {prefix.rstrip(".")}: its keys '
            f'begin with {sorted({key.split(".")[0] for key in weights})[:10]}'
        )
    return found


def _allow_training_state() -> None:
    """Lets weights-only loading read what MMEngine keeps: histories, numpy numbers."""
    allowed: dict[str, Any] = {
        f'{value.__module__}.{value.__qualname__}': value
        for value in (
            *(HistoryBuffer, np.ndarray, np.dtype),
            *{type(np.dtype(code)) for code in '?bBhHiIlLqQefd'},
        )
    }
    allowed['builtins.getattr'] = _history_statistic
    # The module was renamed in numpy 2; checkpoints of either must load.
    for module in ('numpy.core.multiarray', 'numpy._core.multiarray'):
        for name in ('_reconstruct', 'scalar'):
            allowed[f'{module}.{name}'] = getattr(multiarray, name)
    torch.serialization.add_safe_globals([(v, name) for name, v in allowed.items()])


def _history_statistic(owner: type, name: str) -> Any:
    """The only ``getattr`` that a checkpoint may ask for."""
    allowed = {'min', 'max', 'current', 'mean', *HistoryBuffer._statistics_methods}
    if owner is not HistoryBuffer or name not in allowed:
        raise pickle.UnpicklingError(
            f'The checkpoint asks for attribute {name!r} of {owner!r}; only the '
            'statistics of mmengine HistoryBuffer are allowed'
        )
    return getattr(owner, name)


_allow_training_state()
