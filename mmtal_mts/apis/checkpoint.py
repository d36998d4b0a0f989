"""Checks that a checkpoint is one, and of this model."""

from __future__ import annotations

from mmengine.model import is_model_wrapper
from torch import nn

from mmtal_mts.utils import UserError
from mmtal_mts.utils.checkpoint import check_fit, load_checkpoint, load_weights


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
    checkpoint = load_checkpoint(path)
    if is_model_wrapper(model):
        model = model.module
    check_fit(model.state_dict(), load_weights(path), path)
    missing = [
        key for key in ('meta', 'message_hub', 'optimizer') if key not in checkpoint
    ]
    if resume and missing:
        raise UserError(
            f'checkpoint {path} holds weights but not the state of a training '
            f'({", ".join(missing)} missing), so nothing can be resumed from it. '
            f'Remedy: start from its weights with --cfg-options load_from={path}'
        )
