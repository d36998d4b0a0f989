"""Checks that a checkpoint is one, and of this model."""

from __future__ import annotations

import os
import pickle
from collections.abc import Mapping

from mmengine.model import is_model_wrapper
from torch import Tensor, nn

from mmtal_mts.utils import UserError
from mmtal_mts.utils.safe_loading import load_safely

_EXAMPLES = 3


def check_checkpoint(model: nn.Module, path: str, resume: bool = False) -> None:
    """Checks that a checkpoint fits a model, before MMEngine loads it leniently.

    MMEngine only warns about keys that are missing or of another shape, and then
    tests a model of partly random weights.

    Args:
        model: The model, wrapped for distributed training or not.
        path: Checkpoint: a local file. Web addresses and the like are left to
            MMEngine.
        resume: Whether the state of the training is needed as well.

    Raises:
        UserError: If the file is missing, unreadable or of another architecture.
    """
    if '://' in path:
        return
    checkpoint = read_checkpoint(path)
    if is_model_wrapper(model):
        model = model.module
    _compare(model.state_dict(), _state_dict(checkpoint, path), path)
    missing = [
        key for key in ('meta', 'message_hub', 'optimizer') if key not in checkpoint
    ]
    if resume and missing:
        raise UserError(
            f'checkpoint {path} holds weights but not the state of a training '
            f'({", ".join(missing)} missing), so nothing can be resumed from it. '
            f'Remedy: start from its weights with --cfg-options load_from={path}'
        )


def load_weights(model: nn.Module, path: str, prefix: str = '') -> dict[str, Tensor]:
    """Reads the weights of a local checkpoint, on the CPU.

    Args:
        model: The model that they must fit.
        path: Checkpoint file.
        prefix: Take only the weights whose keys begin so, e.g. ``'backbone.'`` for a
            part of the network, and cut it off.

    Returns:
        The state dict.

    Raises:
        UserError: If the file is missing, unreadable or of another architecture.
    """
    weights = _state_dict(read_checkpoint(path), path)
    weights = {
        key[len(prefix) :]: value
        for key, value in weights.items()
        if key.startswith(prefix)
    }
    _compare(model.state_dict(), weights, path)
    return weights


def read_checkpoint(path: str) -> Mapping:
    """Loads a checkpoint on the CPU, weights only.

    Args:
        path: A local file.

    Returns:
        What the file holds.

    Raises:
        UserError: If it is missing, torn, or holds more than weights and the state
            of a training.
    """
    if not os.path.isfile(path):
        raise UserError(
            f'checkpoint {path} does not exist. '
            'Remedy: give the path of a .pth file, e.g. one of work_dirs/*/'
        )
    try:
        checkpoint = load_safely(path)
    except pickle.UnpicklingError as error:
        # Torch's own message advises to switch the safety off; ours does not.
        reason = str(error).split('WeightsUnpickler error:')[-1].split('. ')[0].strip()
        raise UserError(
            f'checkpoint {path} holds something else than weights and a training '
            f'state, so it was not loaded: {reason}. Remedy: use a checkpoint that '
            'MMEngine wrote'
        ) from error
    except (RuntimeError, EOFError, OSError, ValueError) as error:
        raise UserError(
            f'checkpoint {path} cannot be read, it may be torn or no checkpoint at '
            f'all: {error}'
        ) from error
    if not isinstance(checkpoint, Mapping):
        raise UserError(
            f'checkpoint {path} holds a {type(checkpoint).__name__}, not a dict'
        )
    return checkpoint


def _state_dict(checkpoint: Mapping, path: str) -> dict[str, Tensor]:
    """The weights of a checkpoint, without the prefix that a wrapper adds."""
    weights = checkpoint.get('state_dict', checkpoint)
    if not isinstance(weights, Mapping) or not any(
        isinstance(value, Tensor) for value in weights.values()
    ):
        raise UserError(
            f'checkpoint {path} holds no weights: its keys are '
            f'{sorted(map(str, checkpoint))[:10]}'
        )
    prefix = 'module.'
    return {
        key[len(prefix) :] if key.startswith(prefix) else key: value
        for key, value in weights.items()
    }


def _compare(
    wanted: Mapping[str, Tensor], found: Mapping[str, Tensor], path: str
) -> None:
    """Raises unless both have the same keys and shapes."""
    missing = [key for key in wanted if key not in found]
    unexpected = [key for key in found if key not in wanted]
    shapes = [
        f'{key} is {tuple(found[key].shape)} instead of {tuple(wanted[key].shape)}'
        for key in wanted
        if key in found and found[key].shape != wanted[key].shape
    ]
    if not (missing or unexpected or shapes):
        return
    problems = [
        f'{len(names)} {what} ({", ".join(names[:_EXAMPLES])}'
        f'{", ..." if len(names) > _EXAMPLES else ""})'
        for what, names in (
            ('weights of the model are missing', missing),
            ('weights are unknown to the model', unexpected),
            ('have another shape', shapes),
        )
        if names
    ]
    fitting = len(wanted) - len(missing) - len(shapes)
    raise UserError(
        f'checkpoint {path} is of another architecture: {fitting} of the '
        f"model's {len(wanted)} weights fit; {'; '.join(problems)}. "
        'Remedy: use the config it was trained with'
    )
