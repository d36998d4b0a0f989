"""Loads checkpoints without ever running what they ask for; finds those of a work dir.

Everything that reads weights comes through here: the tools, ``pretrained`` of
backbones, the zoo, and the Runner's ``load_from`` and resume by MMEngine's
``CheckpointLoader``, in which the loader registers.
"""

from __future__ import annotations

import os
import pickle
import re
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
    return CheckpointLoader.load_checkpoint(os.fspath(path), map_location, 'silent')


def load_weights(path: str | os.PathLike, prefix: str = '') -> dict[str, Tensor]:
    """Reads the weights of a checkpoint.

    Args:
        path: As for :func:`load_checkpoint`.
        prefix: Take only the weights with this prefix of their keys, and cut it off,
            e.g. ``'backbone.'`` for a part of the network.

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
    model.load_state_dict(_fitting_weights(model, checkpoint, path, prefix))
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
    _fitting_weights(model, checkpoint, path)
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
    # A torch file is a zip archive with its index at the end.
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


# MMEngine's own loaders may run what a pickle asks for. Its log takes the name of the
# backend, "file", from that of the function.
@CheckpointLoader.register_scheme(['', 'http://', 'https://'], force=True)
def load_from_file(filename: str, map_location: Any = 'cpu') -> dict:
    """Loader of MMEngine for local paths and addresses."""
    if filename.startswith(('http://', 'https://')):
        filename = str(fetch_checkpoint(filename))
    filename = os.path.expanduser(filename)
    try:
        checkpoint = torch.load(filename, map_location, weights_only=True)
    except FileNotFoundError:
        problem = 'does not exist. Remedy: give a .pth file, e.g. one of work_dirs/*/'
    except pickle.UnpicklingError as error:
        # Torch's own message advises to switch the safety off; ours does not.
        reason = str(error).split('WeightsUnpickler error:')[-1].strip()
        reason = re.split(r'\. |\n', reason)[0]
        problem = (
            'holds something else than weights and a training state, so it was not '
            f'loaded: {reason}. Remedy: use a checkpoint that MMEngine wrote'
        )
    # The unpickler of old files can raise anything if the file is none.
    except Exception as error:
        reason = f'{type(error).__name__}: {error}'
        problem = f'cannot be read, it may be torn or no checkpoint at all: {reason}'
    else:
        if isinstance(checkpoint, Mapping):
            return checkpoint
        problem = f'holds a {type(checkpoint).__name__}, not a dict'
    raise UserError(f'checkpoint {filename} {problem}')


def _fitting_weights(
    model: nn.Module, checkpoint: Mapping, path: str | os.PathLike, prefix: str = ''
) -> dict[str, Tensor]:
    """The weights, after a check of every key and shape; MMEngine only warns."""
    wanted, found = model.state_dict(), _weights(checkpoint, path, prefix)
    common = wanted.keys() & found.keys()
    problems = {
        'weights of the model are missing': [k for k in wanted if k not in common],
        'weights are unknown to the model': [k for k in found if k not in common],
        'have another shape': [
            f'{key} is {tuple(found[key].shape)} instead of {tuple(value.shape)}'
            for key, value in wanted.items()
            if key in common and found[key].shape != value.shape
        ],
    }
    if any(problems.values()):
        listed = '; '.join(
            f'{len(names)} {what} ({", ".join(names[:3])}{", ..." * (len(names) > 3)})'
            for what, names in problems.items()
            if names
        )
        fitting = len(common) - len(problems['have another shape'])
        raise UserError(
            f'checkpoint {path} is of another architecture: {fitting} of the '
            f"model's {len(wanted)} weights fit; {listed}. "
            'Remedy: use the config it was trained with'
        )
    return found


def _weights(
    checkpoint: Mapping, path: str | os.PathLike, prefix: str
) -> dict[str, Tensor]:
    """The weights with a prefix of their keys, without it."""
    weights = checkpoint.get('state_dict', checkpoint)
    values = weights.values() if isinstance(weights, Mapping) else ()
    if not any(isinstance(value, Tensor) for value in values):
        keys = sorted(map(str, checkpoint))[:10]
        raise UserError(f'checkpoint {path} holds no weights: its keys are {keys}')
    # A wrapper for distributed training puts its own prefix before each key.
    weights = {key.removeprefix('module.'): value for key, value in weights.items()}
    found = {k[len(prefix) :]: v for k, v in weights.items() if k.startswith(prefix)}
    if not found:
        raise UserError(
            f'checkpoint {path} holds no weights of {prefix.rstrip(".")}: its keys '
            f'begin with {sorted({key.split(".")[0] for key in weights})[:10]}'
        )
    return found


def _history_statistic(owner: type, name: str) -> Any:
    """The only ``getattr`` that a checkpoint may ask for."""
    allowed = {'min', 'max', 'current', 'mean', *HistoryBuffer._statistics_methods}
    if owner is not HistoryBuffer or name not in allowed:
        raise pickle.UnpicklingError(
            f'The checkpoint asks for attribute {name!r} of {owner!r}; only the '
            'statistics of mmengine HistoryBuffer are allowed'
        )
    return getattr(owner, name)


def _allow_training_state() -> None:
    """Lets weights-only loading read what MMEngine keeps: histories, numpy numbers."""
    numbers = {type(np.dtype(code)) for code in '?bBhHiIlLqQefd'}
    allowed = [HistoryBuffer, np.ndarray, np.dtype, *numbers]
    allowed.append((_history_statistic, 'builtins.getattr'))
    # The module was renamed in numpy 2; checkpoints of either must load.
    for module in ('numpy.core.multiarray', 'numpy._core.multiarray'):
        for name in ('_reconstruct', 'scalar'):
            allowed.append((getattr(multiarray, name), f'{module}.{name}'))
    torch.serialization.add_safe_globals(allowed)


_allow_training_state()
