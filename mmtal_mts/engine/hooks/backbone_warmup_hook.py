"""Teaches the backbone to classify before the detector is trained on it."""

from __future__ import annotations

from mmaction.registry import HOOKS
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import EpochBasedTrainLoop, Runner
from torch import nn

from ...utils import UserError


@HOOKS.register_module()
class BackboneWarmupHook(Hook):
    """Trains backbone and ``warmup_head`` alone for the first epochs.

    It stands in for pretraining on Kinetics where no pretrained weights fit: a
    backbone that starts from scratch below both heads of TAL-MTS learns where actions
    are long before it learns which one, because localisation drowns the small
    gradient of the classes.

    Neck and heads keep their initial weights meanwhile. In distributed training the
    config needs ``find_unused_parameters=True``.

    Args:
        num_epochs: Epochs, counted from the start of the training and not of the
            process: a resumed training goes on where it was. 0 switches it off.
    """

    def __init__(self, num_epochs: int) -> None:
        if num_epochs < 0:
            raise ValueError(f'num_epochs={num_epochs} of BackboneWarmupHook: use >= 0')
        self.num_epochs = num_epochs

    def before_train(self, runner: Runner) -> None:
        """Checks that the model can be warmed up.

        Raises:
            UserError: The model has no ``warmup_head``, or training does not count
                epochs.
        """
        if self.num_epochs == 0:
            return
        if not isinstance(runner.train_loop, EpochBasedTrainLoop):
            raise UserError(
                f'BackboneWarmupHook(num_epochs={self.num_epochs}) counts epochs, but '
                f'train_cfg.type is {type(runner.train_loop).__name__}: use '
                'EpochBasedTrainLoop'
            )
        if getattr(_model(runner), 'warmup_head', None) is None:
            raise UserError(
                f'BackboneWarmupHook(num_epochs={self.num_epochs}) is in custom_hooks, '
                'but model.warmup_head is not set: add a DenseClassificationHead '
                'there, or remove the hook'
            )

    def before_train_epoch(self, runner: Runner) -> None:
        """Switches the model."""
        model = _model(runner)
        warming_up = runner.epoch < self.num_epochs
        if model.warming_up and not warming_up:
            runner.logger.info('The backbone is warmed up: all modules train from here')
        if not warming_up:
            # Or the log would repeat their last values until the end; after a resume
            # they come back with the checkpoint.
            scalars = runner.message_hub.log_scalars
            for name in [name for name in scalars if 'warmup' in name]:
                del scalars[name]
        model.warming_up = warming_up

    def after_train(self, runner: Runner) -> None:
        """Leaves the model as it was built."""
        _model(runner).warming_up = False


def _model(runner: Runner) -> nn.Module:
    return runner.model.module if is_model_wrapper(runner.model) else runner.model
