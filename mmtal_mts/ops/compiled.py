"""The compiled operators, where they were built: ``torch.ops.mmtal_mts``.

They are built by ``MMTAL_WITH_OPS=1 pip install -e . --no-build-isolation`` from
``mmtal_mts/ops/csrc``. What torch needs besides the kernels is declared here: shapes
for compilation and export, and gradients.
"""

from __future__ import annotations

import importlib
import warnings

import numpy as np
import torch
from torch import Tensor

from .compiled_max_pool3d import declare_max_pool3d

_MODULE = 'mmtal_mts.ops._compiled'
_OPERATORS = ('boundary_max_pooling', 'max_pool3d', 'soft_nms')
_DTYPES = (torch.float32, torch.float64, torch.float16, torch.bfloat16)


def _load() -> str | None:
    """Loads the operators, or says why they are not there."""
    try:
        importlib.import_module(_MODULE)
    except ModuleNotFoundError:
        return (
            'the compiled operators are not built: '
            'MMTAL_WITH_OPS=1 pip install -e . --no-build-isolation'
        )
    except (ImportError, OSError) as error:
        # Typically built for another torch. The vectorised version is as right.
        problem = (
            f'{_MODULE} cannot be loaded with torch {torch.__version__} ({error}). '
            'Build it again: MMTAL_WITH_OPS=1 pip install -e . --no-build-isolation'
        )
        warnings.warn(f'{problem}. Meanwhile it is done in torch.', stacklevel=2)
        return problem
    missing = [name for name in _OPERATORS if not hasattr(torch.ops.mmtal_mts, name)]
    if missing:
        return (
            f'{_MODULE} was built from another source, without {missing}. Build it '
            'again: MMTAL_WITH_OPS=1 pip install -e . --no-build-isolation'
        )
    if not hasattr(torch.library, 'register_autograd'):
        return f'the compiled operators need torch 2.4, not {torch.__version__}'
    _declare_pooling()
    declare_max_pool3d()
    return None


def compiled_ops_problem(device: str = 'cpu') -> str | None:
    """Says why the compiled operators are not used on a kind of device.

    Args:
        device: Type of the device, such as 'cpu' or 'cuda'.

    Returns:
        The reason, or None where they are used.
    """
    if _PROBLEM is None and device not in _DEVICES:
        return f'the compiled operators were built for {sorted(_DEVICES)}, not {device}'
    return _PROBLEM


def takes_compiled(x: Tensor) -> bool:
    """Whether the compiled operators were built for tensors of this kind."""
    return (
        _PROBLEM is None
        and x.device.type in _DEVICES
        and x.dtype in _DTYPES
        # Other runtimes do not know our operators.
        and not torch.onnx.is_in_onnx_export()
    )


def compiled_max_pooling(features: Tensor, segments: Tensor) -> Tensor:
    """:func:`mmtal_mts.ops.boundary_max_pooling`, compiled.

    Args:
        features: (N, C, T).
        segments: (N, S, 4).

    Returns:
        (N, C, S).
    """
    return torch.ops.mmtal_mts.boundary_max_pooling(features, segments)[0]


def compiled_soft_nms(
    segments: np.ndarray,
    scores: np.ndarray,
    bounds: np.ndarray,
    method: int,
    sigma: float,
    iou_threshold: float,
    min_score: float,
    max_keep: int | None,
) -> tuple[np.ndarray, np.ndarray]:
    """The loop of :func:`mmtal_mts.ops.soft_nms_1d`, compiled, all groups at once.

    Args:
        segments: (S, 2) float64, by group and start.
        scores: (S,) float64.
        bounds: (G + 1,) int64, where groups begin.
        method: 0 Gaussian, 1 linear, 2 hard.
        sigma: As there, and so are the others.
        iou_threshold: See above.
        min_score: See above.
        max_keep: See above.

    Returns:
        Positions (M,) and lowered scores (M,), by group, best first.
    """
    picked, lowered = torch.ops.mmtal_mts.soft_nms(
        torch.from_numpy(segments),
        torch.from_numpy(scores),
        torch.from_numpy(bounds),
        method,
        sigma,
        iou_threshold,
        min_score,
        -1 if max_keep is None else max_keep,
    )
    return picked.numpy(), lowered.numpy()


def _declare_pooling() -> None:
    """Shapes and gradients of the pooling and of its backward."""
    name = 'mmtal_mts::boundary_max_pooling'
    backward_name = f'{name}_backward'

    def shapes(features: Tensor, segments: Tensor) -> tuple[Tensor, Tensor]:
        shape = (features.shape[0], features.shape[1], segments.shape[1])
        values = features.new_empty(shape)
        return values, features.new_empty(shape, dtype=torch.int32)

    def save(ctx, inputs, output) -> None:
        ctx.save_for_backward(output[1])
        ctx.length = inputs[0].shape[2]

    def backward(ctx, grad: Tensor, _grad_index: None) -> tuple[Tensor, None]:
        (index,) = ctx.saved_tensors
        # Deterministic where torch.use_deterministic_algorithms asks for it.
        operator = torch.ops.mmtal_mts.boundary_max_pooling_backward
        return operator(grad, index, ctx.length), None

    def backward_shapes(grad: Tensor, index: Tensor, length: int) -> Tensor:
        return grad.new_empty((grad.shape[0], grad.shape[1], length))

    def save_index(ctx, inputs, output) -> None:
        ctx.save_for_backward(inputs[1])

    def backward_of_backward(ctx, grad: Tensor) -> tuple[Tensor, None, None]:
        (index,) = ctx.saved_tensors
        return grad.gather(2, index.long()), None, None

    torch.library.register_fake(name, shapes)
    torch.library.register_autograd(name, backward, setup_context=save)
    torch.library.register_fake(backward_name, backward_shapes)
    torch.library.register_autograd(
        backward_name, backward_of_backward, setup_context=save_index
    )


def _built_devices() -> frozenset[str]:
    has_kernel = torch._C._dispatch_has_kernel_for_dispatch_key
    return frozenset(
        key.lower()
        for key in ('CPU', 'CUDA')
        if has_kernel('mmtal_mts::boundary_max_pooling', key)
    )


_PROBLEM = _load()
_DEVICES = _built_devices() if _PROBLEM is None else frozenset()
