"""Stops training at the first NaN or infinite loss, before it does damage."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from mmaction.registry import HOOKS
from mmengine import dist
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.optim import OptimWrapperDict
from mmengine.runner import Runner
from torch import Tensor, nn

from ...utils import InvalidLossError, latest_checkpoint


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
        self._runner = runner
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        wrapper = runner.optim_wrapper
        wrappers = (
            wrapper.values() if isinstance(wrapper, OptimWrapperDict) else [wrapper]
        )
        self._handles = [
            model.register_forward_hook(self._check_losses, with_kwargs=True),
            *(
                each.optimizer.register_step_pre_hook(self._check_gradients)
                for each in wrappers
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
        self, model: nn.Module, args: tuple, kwargs: dict, output
    ) -> None:
        """Forward hook of the model: looks at the losses of ``mode='loss'``."""
        if kwargs.get('mode', args[2] if len(args) > 2 else None) != 'loss':
            return
        # MMEngine adds up exactly the entries with 'loss' in their name.
        losses = {key: _total(value) for key, value in output.items() if 'loss' in key}
        if not losses:
            return
        bad = ~torch.isfinite(torch.stack(list(losses.values())))
        any_bad = bad.any().to(torch.int32)
        # One process must not stop alone: the others would wait for its gradients.
        dist.all_reduce(any_bad, op='max')
        if any_bad.item():
            found = zip(losses.items(), bad.tolist(), strict=True)
            self._stop(
                ', '.join(f'{k} is {x.item()}' for (k, x), is_bad in found if is_bad)
            )

    def _check_gradients(self, optimizer: torch.optim.Optimizer, *_: object) -> None:
        """Pre-hook of the optimizer step; gradients are equal in all processes."""
        # Fused optimizers get the scaler's verdict and skip the step themselves.
        if getattr(optimizer, 'found_inf', None) is not None:
            return
        parameters = [p for group in optimizer.param_groups for p in group['params']]
        gradients = [p.grad for p in parameters if p.grad is not None]
        if not gradients:
            return
        device = gradients[0].device
        bad = ~torch.isfinite(torch.stack([_largest(g).to(device) for g in gradients]))
        if bad.any():
            count = f'{int(bad.sum())} of {len(gradients)}'
            self._stop(f'the gradient of {count} parameters is not finite')

    def _stop(self, what: str) -> None:
        """Raises in all processes, each with the findings and clips of all."""
        # Losses may differ between the processes, so each says what it has seen.
        reports = dist.all_gather_object((what, _clip_names(self._batch)))
        findings = dict.fromkeys(found for found, _ in reports if found)
        clips = [clip for found, names in reports if found for clip in names]
        checkpoint = latest_checkpoint(self._runner.work_dir)
        rescue = 'No checkpoint has been saved yet'
        if checkpoint is not None:
            rescue = (
                f'The last good checkpoint is {checkpoint}; '
                f'go on from it with --resume {checkpoint}'
            )
        raise InvalidLossError(
            f'Training stopped in epoch {self._runner.epoch + 1}, iteration '
            f'{self._runner.iter + 1}: {"; ".join(findings)}. '
            f'Clips of the batch: {", ".join(clips)}. '
            'The weights were not updated with it. '
            f'{rescue}. Look at the frames and annotations of these clips; if they '
            'are fine, lower the learning rate or set optim_wrapper.clip_grad.'
        )


def _total(value: Tensor | Sequence[Tensor]) -> Tensor:
    """Sum of one entry of a loss dict: a tensor or a list of them."""
    tensors = [value] if isinstance(value, Tensor) else value
    return sum(tensor.detach().float().sum() for tensor in tensors)


def _largest(gradient: Tensor) -> Tensor:
    """Largest magnitude, which unlike a sum cannot overflow by itself."""
    values = gradient.coalesce().values() if gradient.is_sparse else gradient
    if values.numel() == 0:
        return values.new_zeros((), dtype=torch.float32)
    return torch.linalg.vector_norm(values, float('inf')).float()


def _clip_names(batch: object) -> list[str]:
    """Names the clips of a batch: video and first sampled frame."""
    samples = batch.get('data_samples', ()) if isinstance(batch, dict) else ()
    return [
        f'{sample.get("video_id")} (window_offset={sample.get("window_offset")})'
        for sample in samples
    ] or ['unknown']
