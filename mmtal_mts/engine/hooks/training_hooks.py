"""Hooks of a training: warm-up of the backbone, repeatable epochs, invalid losses."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence

import torch
from mmaction.registry import HOOKS
from mmengine import dist
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.optim import OptimWrapperDict
from mmengine.runner import EpochBasedTrainLoop, Runner
from torch import Tensor, nn

from ...utils import InvalidLossError, UserError, latest_checkpoint
from ...utils.processes import seed_from


@HOOKS.register_module()
class BackboneWarmupHook(Hook):
    """Trains the backbone by ``warmup_head`` for the first epochs.

    It stands in for pretraining on Kinetics where no pretrained weights fit: a
    backbone that starts from scratch below both heads of TAL-MTS learns where actions
    are long before it learns which one, because localisation drowns the small
    gradient of the classes.

    STT and FSA, which read frames, are trained by ``auxiliary_head`` if there is one;
    the rest of neck and heads keeps its initial weights meanwhile. In distributed
    training the config needs ``find_unused_parameters=True``.

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
        hook = f'BackboneWarmupHook(num_epochs={self.num_epochs})'
        if self.num_epochs and not isinstance(runner.train_loop, EpochBasedTrainLoop):
            raise UserError(
                f'{hook} counts epochs, but train_cfg.type is '
                f'{type(runner.train_loop).__name__}: use EpochBasedTrainLoop'
            )
        if self.num_epochs and getattr(_model(runner), 'warmup_head', None) is None:
            raise UserError(
                f'{hook} is in custom_hooks, but model.warmup_head is not set: add a '
                'DenseClassificationHead there, or remove the hook'
            )

    def before_train_epoch(self, runner: Runner) -> None:
        """Switches the model."""
        model = _model(runner)
        warming_up = runner.epoch < self.num_epochs
        if model.warming_up and not warming_up:
            runner.logger.info('The backbone is warmed up: all modules train from here')
        if runner.epoch == self.num_epochs:
            # The log shows means over the last iterations, of whatever they were: it
            # would mix losses, and repeat those of the warm-up until the end. After a
            # resume they come back with the checkpoint. Times stay comparable.
            scalars = runner.message_hub.log_scalars
            for name in list(scalars):
                if 'warmup' in name or name in ('train/loss', 'train/grad_norm'):
                    del scalars[name]
        model.warming_up = warming_up

    def after_train(self, runner: Runner) -> None:
        """Leaves the model as it was built."""
        _model(runner).warming_up = False


@HOOKS.register_module()
class EpochSeedHook(Hook):
    """Seeds every epoch from the seed of the training and the number of the epoch.

    A checkpoint of MMEngine does not hold the state of random generators, so without
    this a training that was interrupted goes on with other random numbers than it
    would have had. With it, it ends with the same weights, bit for bit.

    Data sets with a method ``set_epoch_seed(seed, epoch)``, as
    :class:`~mmtal_mts.datasets.TALDataset`, get both: they draw the random numbers of
    an item from seed, epoch and item, so that several processes augment as one does.
    Trainings that count iterations instead of epochs stay as they are.
    """

    priority = 'VERY_HIGH'

    def before_train(self, runner: Runner) -> None:
        """Takes the seed, which a resumed training has from its checkpoint."""
        self._seed = None
        if isinstance(runner.train_loop, EpochBasedTrainLoop):
            # Processes may have seeds of their own; what they share needs one.
            self._seed = dist.all_gather_object(runner.seed)[0]
            sampler = runner.train_dataloader.sampler
            if hasattr(sampler, 'seed'):
                # It was built before the checkpoint was read.
                sampler.seed = self._seed

    def before_train_epoch(self, runner: Runner) -> None:
        """Seeds the process and its data sets."""
        if self._seed is not None:
            seed_from((self._seed, runner.epoch, dist.get_rank()))
            for dataset in _datasets(runner.train_dataloader.dataset):
                if hasattr(dataset, 'set_epoch_seed'):
                    dataset.set_epoch_seed(self._seed, runner.epoch)


@HOOKS.register_module()
class InvalidLossHook(Hook):
    """Raises on a NaN or infinite loss or gradient, naming the clips.

    Unlike MMDetection's ``CheckInvalidLossHook``, which looks after the step, it checks
    the losses before the backward pass and the gradients right before the optimizer
    uses them, so that neither the weights nor a checkpoint ever see the bad number. All
    processes stop together. The gradient scaler of mixed precision keeps its right to
    skip overflowing steps.
    """

    priority = 'VERY_HIGH'

    def before_train(self, runner: Runner) -> None:
        """Places the two checks."""
        self._runner, model, wrapper = runner, _model(runner), runner.optim_wrapper
        several = isinstance(wrapper, OptimWrapperDict)
        self._handles = [
            model.register_forward_hook(self._check_losses, with_kwargs=True),
            *(
                each.optimizer.register_step_pre_hook(self._check_gradients)
                for each in (wrapper.values() if several else [wrapper])
            ),
        ]

    def after_train(self, runner: Runner) -> None:
        """Removes the checks."""
        for handle in self._handles:
            handle.remove()

    def before_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: dict | None = None
    ) -> None:
        """Remembers the batch, to name its clips if need be."""
        self._batch = data_batch

    def _check_losses(
        self, model: nn.Module, args: tuple, kwargs: dict, output: dict
    ) -> None:
        """Forward hook of the model: looks at the losses of ``mode='loss'``."""
        if kwargs.get('mode', args[2] if len(args) > 2 else None) != 'loss':
            return
        # MMEngine adds up exactly the entries with 'loss' in their name.
        losses = {key: _total(value) for key, value in output.items() if 'loss' in key}
        is_bad = ~torch.stack(list(losses.values())).isfinite()
        any_bad = is_bad.any().to(torch.int32)
        # One process must not stop alone: the others would wait for its gradients.
        dist.all_reduce(any_bad, op='max')
        if any_bad.item():
            named = (f'{key} is {value.item()}' for key, value in losses.items())
            self._stop(', '.join(itertools.compress(named, is_bad.tolist())))

    def _check_gradients(self, optimizer: torch.optim.Optimizer, *_: object) -> None:
        """Pre-hook of the optimizer step; gradients are equal in all processes."""
        # Fused optimizers get the scaler's verdict and skip the step themselves.
        if getattr(optimizer, 'found_inf', None) is not None:
            return
        parameters = [p for group in optimizer.param_groups for p in group['params']]
        gradients = [p.grad for p in parameters if p.grad is not None]
        # The largest magnitude, which unlike a sum cannot overflow by itself.
        largest = torch.nn.utils.get_total_norm(gradients, norm_type=math.inf)
        if not largest.isfinite():
            count = sum(not gradient.isfinite().all() for gradient in gradients)
            found = f'{count} of {len(gradients)} parameters'
            self._stop(f'the gradient of {found} is not finite')

    def _stop(self, what: str) -> None:
        """Raises in all processes, each with the findings and clips of all."""
        clips = [
            f'{sample.get("video_id")} (window_offset={sample.get("window_offset")})'
            for sample in self._batch.get('data_samples', ())
        ]
        # Losses may differ between the processes, so each says what it has seen.
        reports = dist.all_gather_object((what, clips or ['unknown']))
        findings = dict.fromkeys(found for found, _ in reports if found)
        clips = [clip for found, names in reports if found for clip in names]
        checkpoint = latest_checkpoint(self._runner.work_dir)
        rescue = 'No checkpoint has been saved yet'
        if checkpoint is not None:
            rescue = f'Go on from the last good checkpoint with --resume {checkpoint}'
        raise InvalidLossError(
            f'Training stopped in epoch {self._runner.epoch + 1}, iteration '
            f'{self._runner.iter + 1}: {"; ".join(findings)}. Clips of the batch: '
            f'{", ".join(clips)}. The weights were not updated with it. {rescue}. '
            'Look at the frames and annotations of these clips; if they are fine, '
            'lower the learning rate or set optim_wrapper.clip_grad.'
        )


def _model(runner: Runner) -> nn.Module:
    return runner.model.module if is_model_wrapper(runner.model) else runner.model


def _datasets(dataset: object) -> Iterator[object]:
    """A data set and those that it wraps."""
    yield dataset
    for wrapped in getattr(dataset, 'datasets', [getattr(dataset, 'dataset', None)]):
        if wrapped is not None:
            yield from _datasets(wrapped)


def _total(value: Tensor | Sequence[Tensor]) -> Tensor:
    """Sum of one entry of a loss dict: a tensor or a list of them."""
    tensors = [value] if isinstance(value, Tensor) else value
    return sum(tensor.detach().float().sum() for tensor in tensors)
