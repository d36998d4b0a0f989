"""Models by name: their configs, their weights, and the networks of both."""

from __future__ import annotations

import fnmatch
import hashlib
import os
import re
from pathlib import Path

import torch
from mmaction.registry import MODELS
from mmengine.config import Config
from mmengine.infer import BaseInferencer
from mmengine.registry import init_default_scope
from torch import nn

from ..utils import UserError
from ..utils.checkpoint import fetch_checkpoint, load_checkpoint, load_model_weights
from .runner import load_config

_NAMED_HASH = re.compile(r'-([0-9a-f]{8,64})\.pth$')


def list_models(pattern: str = '*', *, with_weights: bool = False) -> list[str]:
    """Lists the models that can be asked for by name.

    Args:
        pattern: Only names like this, e.g. ``*thumos14-rgb``.
        with_weights: Only those with released weights.
    """
    entries = metafile_entries()
    names = [name for name in entries if not with_weights or 'Weights' in entries[name]]
    return [name for name in names if fnmatch.fnmatchcase(name, pattern)]


def metafile_entries() -> dict[str, dict]:
    """Returns what the metafiles of ``model-index.yml`` say of each model, by name."""
    entries = BaseInferencer._get_models_from_metafile(str(_root()))
    return {entry['Name']: entry for entry in entries}


def find_config(model: str | os.PathLike) -> Path:
    """Takes a config file as it is, and finds that of a name of :func:`list_models`.

    Raises:
        UserError: No model has the name.
    """
    path = Path(model)
    if path.suffix in ('.py', '.json', '.yml', '.yaml') or path.is_file():
        return path
    entries = metafile_entries()
    if str(model) not in entries:
        known = '\n  '.join(sorted(entries))
        text = f'model {str(model)!r} is unknown; those of the metafiles are'
        raise UserError(f'{text}\n  {known}')
    return _root() / entries[str(model)]['Config']


def find_weights(model: str | os.PathLike | None) -> Path:
    """Finds the released weights ``NAME-HASH.pth`` of a name or config file.

    They are in the environment variable ``MMTAL_ZOO`` if it is set (a folder, or the
    web address of one), else where the metafile says: in the clone, in the current
    folder, or at an address.

    Raises:
        UserError: There is none, or its content is not what its name says.
    """
    name = Path(model or 'config').name.removesuffix('.py')
    listed = metafile_entries().get(name, {}).get('Weights')
    if listed is None:
        raise UserError(
            f'no weights of {name} were released. Remedy: train it by tools/train.py '
            'and give its checkpoint, e.g. --weights work_dirs/NAME/epoch_5.pth. '
            f'Models with weights: {", ".join(list_models(with_weights=True))}'
        )
    zoo = os.environ.get('MMTAL_ZOO')
    if zoo:
        listed = f'{zoo.rstrip("/")}/{listed.rsplit("/", 1)[-1]}'
    if '://' in listed:
        return local_weights(listed)
    places = dict.fromkeys([_root() / listed, Path(listed)])
    found = next((path for path in places if path.is_file()), None)
    if found is None:
        raise UserError(
            f'the weights of {name} are neither {" nor ".join(map(str, places))}. '
            'Remedy: say where released files are, by MMTAL_ZOO=FOLDER_OR_URL'
        )
    return _checked(found)


def local_weights(weights: str | os.PathLike) -> Path:
    """Takes a file as it is, and fetches ``https://.../NAME-HASH.pth`` once, whole."""
    url = os.fspath(weights)
    if '://' not in url:
        return Path(url)
    digest = _NAMED_HASH.search(url)
    if digest is None:
        raise UserError(
            f'{url} does not end with -HASH.pth, so that what comes could not be '
            'checked. Remedy: fetch it yourself and give the file'
        )
    return _checked(fetch_checkpoint(url, digest[1]))


def checkpoint_config(weights: str | os.PathLike) -> Config:
    """Returns the config of a checkpoint: the metafile's, or else the one saved in it.

    Raises:
        UserError: There is none, or it is of an older version.
    """
    path = local_weights(weights)
    for entry in metafile_entries().values():
        if Path(entry.get('Weights', '')).name == path.name:
            return load_config(_root() / entry['Config'])
    text = (load_checkpoint(path).get('meta') or {}).get('cfg')
    if not isinstance(text, str):
        raise UserError(f'{weights} holds no config. Remedy: give the config too')
    cfg = Config.fromstring(text, '.py')
    if 'decoder' in cfg.get('model', {}):
        raise UserError(
            f'{weights} holds the config of an older version (model.decoder). '
            'Remedy: give the config of this version too'
        )
    return cfg


def init_model(
    model: str | os.PathLike | Config | None,
    weights: str | os.PathLike | None = None,
    device: str | None = None,
) -> nn.Module:
    """Loads a network to work with; to run it on videos see :class:`.TALInferencer`.

    Args:
        model: Name of a model, a config file or a config. None: the config that is in
            the checkpoint.
        weights: Checkpoint: a file, or the address of a released one; or the ``.onnx``
            file of an export. By default the released weights of the model.
        device: See :func:`usable_device`.

    Returns:
        The network in evaluation mode, with the attributes ``cfg``, the config,
        ``weights_file``, and ``meta``, what its checkpoint says of itself.

    Raises:
        UserError: The config, the weights or the device are unusable, or do not fit.
    """
    if model is None and weights is None:
        raise UserError('a model or a checkpoint with its config is needed')
    if model is None:
        cfg = checkpoint_config(weights)
    else:
        cfg = model if isinstance(model, Config) else load_config(find_config(model))
    path = local_weights(weights) if weights else find_weights(cfg.filename)
    place = usable_device(device)
    init_default_scope(cfg.get('default_scope', 'mmaction'))
    if path.suffix == '.onnx':
        from .onnx_detector import OnnxDetector

        network = OnnxDetector(str(path), cfg)
    else:
        network = MODELS.build(cfg.model)
        network.meta = load_model_weights(network, path)
    network.cfg, network.weights_file = cfg, str(path)
    return network.to(place).eval()


def usable_device(name: str | None) -> torch.device:
    """Returns the device of a name like 'cuda:1'; None: the first GPU if any."""
    name = name or ('cuda' if torch.cuda.is_available() else 'cpu')
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise UserError(
            f'device {name!r} is not usable: {str(error).splitlines()[0]}. '
            'Remedy: --device cpu, or cuda:N with a GPU that torch sees'
        ) from error
    return device


def _checked(path: Path) -> Path:
    """The file, if its SHA-256 begins with the hash of its name."""
    wanted = _NAMED_HASH.search(path.name)[1]
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if not found.startswith(wanted):
        raise UserError(
            f'{path}: the SHA-256 of the content begins with {found[: len(wanted)]}, '
            f'not with {wanted} as its name says, so it is damaged or another file. '
            'Remedy: get it again'
        )
    return path


def _root() -> Path:
    """The clone, or what a wheel carries of it."""
    return Path(BaseInferencer._get_repo_or_mim_dir('mmtal_mts'))
