"""Stops training at the first NaN or infinite loss, before it does damage."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from mmaction.registry import HOOKS
from mmengine import dist
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner
from torch import Tensor, nn

from mmtal_mts.utils.checkpoint import latest_checkpoint


class InvalidLossError(RuntimeError):
    """Training met a loss or a gradient that is not a finite number.

    Args:
        what: The value that is not finite, e.g. ``'loss_cls is nan'``.
        clips: The clips of the batch, of all processes.
        epoch: Epoch, from 1.
        iteration: Iteration, from 1.
        checkpoint: Path of the last good checkpoint, or None.
    """

    def __init__(
        self,
        what: str,
        clips: Sequence[str],
        epoch: int,
        iteration: int,
        checkpoint: str | None,
    ) -> None:
        self.what = what
        self.clips = list(clips)
        self.checkpoint = checkpoint
        if checkpoint is None:
            rescue = 'No checkpoint has been saved yet'
        else:
            rescue = (
                f'The last good checkpoint is {checkpoint}; '
                f'go on from it with --resume {checkpoint}'
            )
        super().__init__(
            f'Training stopped in epoch {epoch}, iteration {iteration}: {what}. '
            f'Clips of the batch: {", ".join(self.clips)}. '
            'The weights were not updated with it. '
            f'{rescue}. Look at the frames and annotations of these clips; if they '
            'are fine, lower the learning rate or set optim_wrapper.clip_grad.'
        )


@HOOKS.register_module()
class InvalidLossHook(Hook):
    """Raises on a NaN or infinite loss or gradient, naming the clips.

    The losses are checked between the forward and the backward pass, the gradients
    right before the optimizer uses them, so that neither the weights nor a
    checkpoint ever see the bad number. All processes stop together. The gradient
    scaler of mixed precision keeps its right to skip overflowing steps.
    """

    priority = 'VERY_HIGH'

    def __init__(self) -> None:
        self._runner: Runner | None = None
        self._batch: dict | None = None
        self._handles: list = []

    def before_train(self, runner: Runner) -> None:
        """Places the two checks.

        Args:
            runner: The runner of the training.
        """
        self._runner = runner
        model = runner.model
        if is_model_wrapper(model):
            model = model.module
        # ``optim_wrapper`` is one wrapper or, for several optimizers, a dict of them.
        wrapper = runner.optim_wrapper
        wrappers = list(wrapper.values()) if hasattr(wrapper, 'values') else [wrapper]
        self._handles = [
            model.register_forward_hook(self._check_losses, with_kwargs=True)
        ]
        for wrapper in wrappers:
            self._handles.append(
                wrapper.optimizer.register_step_pre_hook(self._check_gradients)
            )

    def after_train(self, runner: Runner) -> None:
        """Removes the checks.

        Args:
            runner: The runner of the training.
        """
        for handle in self._handles:
            handle.remove()
        self._handles = []

    def before_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: dict | None = None
    ) -> None:
        """Remembers the batch, to name its clips if need be.

        Args:
            runner: The runner of the training.
            batch_idx: Index of the batch in the epoch.
            data_batch: The collated batch.
        """
        self._batch = data_batch

    def _check_losses(
        self, module: nn.Module, args: tuple, kwargs: dict, output
    ) -> None:
        """Forward hook of the model: looks at the loss dict of ``mode='loss'``."""
        if not module.training or not isinstance(output, dict):
            return
        mode = kwargs.get('mode', args[2] if len(args) > 2 else None)
        if mode != 'loss':
            return
        # mmengine adds up exactly the entries with 'loss' in their name.
        losses = {key: _total(value) for key, value in output.items() if 'loss' in key}
        if not losses:
            return
        totals = torch.stack(list(losses.values()))
        bad = (~torch.isfinite(totals)).any().to(torch.int32)
        # One process must not stop alone: the others would wait for its gradients.
        dist.all_reduce(bad, op='max')
        if not bad.item():
            return
        what = [
            f'{name} is {value.item()}'
            for name, value in losses.items()
            if not torch.isfinite(value)
        ]
        self._stop(', '.join(what))

    def _check_gradients(
        self, optimizer: torch.optim.Optimizer, args: tuple, kwargs: dict
    ) -> None:
        """Pre-hook of the optimizer step; gradients are equal in all processes."""
        # Fused optimizers get the scaler's verdict and skip the step themselves.
        if getattr(optimizer, 'found_inf', None) is not None:
            return
        gradients = [
            parameter.grad
            for group in optimizer.param_groups
            for parameter in group['params']
            if parameter.grad is not None
        ]
        if not gradients:
            return
        largest = torch.stack(
            [_largest(gradient).to(gradients[0].device) for gradient in gradients]
        )
        if torch.isfinite(largest).all():
            return
        bad = int((~torch.isfinite(largest)).sum())
        self._stop(
            f'the gradient of {bad} of {len(gradients)} parameters is not finite'
        )

    def _stop(self, what: str) -> None:
        """Raises in all processes, each with the findings and clips of all.

        Args:
            what: What this process found; empty if it found nothing itself.

        Raises:
            InvalidLossError: Always.
        """
        runner = self._runner
        # Losses may differ between the processes, so each says what it has seen.
        reports = dist.all_gather_object((what, _clip_names(self._batch)))
        findings = dict.fromkeys(found for found, _ in reports if found)
        clips = [clip for found, names in reports if found for clip in names]
        raise InvalidLossError(
            '; '.join(findings),
            clips,
            epoch=runner.epoch + 1,
            iteration=runner.iter + 1,
            checkpoint=latest_checkpoint(runner.work_dir),
        )


def _total(value: Tensor | Sequence[Tensor]) -> Tensor:
    """Sum of one entry of a loss dict: a tensor or a list of them."""
    tensors = [value] if isinstance(value, Tensor) else list(value)
    return sum(tensor.detach().float().sum() for tensor in tensors)


def _largest(gradient: Tensor) -> Tensor:
    """Largest magnitude, which unlike a sum cannot overflow by itself."""
    if gradient.is_sparse:
        gradient = gradient.coalesce().values()
    if gradient.numel() == 0:
        return gradient.new_zeros((), dtype=torch.float32)
    return torch.linalg.vector_norm(gradient.detach(), float('inf')).float()


def _clip_names(batch: dict | None) -> list[str]:
    """Names the clips of a batch: video and first sampled frame."""
    names = []
    samples = batch.get('data_samples', ()) if isinstance(batch, dict) else ()
    for index, sample in enumerate(samples):
        name = sample.get('video_id', sample.get('filename', f'sample {index}'))
        offset = sample.get('window_offset')
        names.append(name if offset is None else f'{name} (window_offset={offset})')
    return names or ['unknown']
