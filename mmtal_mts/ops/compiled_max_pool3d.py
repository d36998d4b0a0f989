"""What torch needs to know of the compiled max pooling besides its kernels."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

_NAME = 'mmtal_mts::max_pool3d'


def declare_max_pool3d() -> None:
    """Registers shapes and the gradient of ``torch.ops.mmtal_mts.max_pool3d``."""
    torch.library.register_fake(_NAME, _shapes)
    torch.library.register_autograd(_NAME, _backward, setup_context=_save)
    torch.library.register_fake(f'{_NAME}_backward', _backward_shapes)
    torch.library.register_autograd(f'{_NAME}_backward', _backward_twice)


def _channels_last(like: Tensor, shape: Sequence[int], dtype: torch.dtype) -> Tensor:
    layout = torch.channels_last_3d
    return torch.empty(shape, dtype=dtype, device=like.device, memory_format=layout)


def _shapes(
    x: Tensor, kernel: Sequence[int], stride: Sequence[int], with_index: bool
) -> tuple[Tensor, Tensor]:
    sizes = (-(-size // step) for size, step in zip(x.shape[2:], stride))
    shape = (*x.shape[:2], *sizes)
    values = _channels_last(x, shape, x.dtype)
    if with_index:
        return values, _channels_last(x, shape, torch.uint8)
    return values, x.new_empty(0, dtype=torch.uint8)


def _save(ctx, inputs, output) -> None:
    x, ctx.kernel, ctx.stride, with_index = inputs
    if not with_index:
        raise RuntimeError('the gradient of max_pool3d needs with_index=True')
    ctx.save_for_backward(output[1])
    ctx.size = x.shape[2:]


def _backward(ctx, grad: Tensor, _grad_index: None) -> tuple[Tensor, None, None, None]:
    (index,) = ctx.saved_tensors
    operator = torch.ops.mmtal_mts.max_pool3d_backward
    grad_x = operator(grad, index, ctx.size, ctx.kernel, ctx.stride)
    return grad_x, None, None, None


def _backward_shapes(
    grad: Tensor,
    index: Tensor,
    size: Sequence[int],
    kernel: Sequence[int],
    stride: Sequence[int],
) -> Tensor:
    return _channels_last(grad, (*grad.shape[:2], *size), grad.dtype)


def _backward_twice(ctx, grad: Tensor) -> None:
    raise NotImplementedError(
        'the compiled max_pool3d has no second derivative; '
        'torch.nn.functional.max_pool3d has'
    )
