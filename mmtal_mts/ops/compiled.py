"""The compiled operators, where they were built: ``torch.ops.mmtal_mts``.

``MMTAL_WITH_OPS=1 pip install -e . --no-build-isolation`` builds them from
``mmtal_mts/ops/csrc``.
"""

from __future__ import annotations

import importlib
import warnings

import torch
from torch import Tensor

_MODULE = 'mmtal_mts.ops._compiled'
_OPERATORS = ('boundary_max_pooling', 'soft_nms')
_BUILD = 'MMTAL_WITH_OPS=1 pip install -e . --no-build-isolation'


def _load() -> str | None:
    """Loads the operators; returns why they cannot be used, or None."""
    try:
        importlib.import_module(_MODULE)
    except ModuleNotFoundError:
        return f'the compiled operators are not built: {_BUILD}'
    except (ImportError, OSError) as error:
        # Typically built for another torch. The torch versions give the same results.
        problem = (
            f'{_MODULE} cannot be loaded with torch {torch.__version__} ({error}). '
            f'Build it again: {_BUILD}'
        )
        warnings.warn(f'{problem}. Until then torch is used.', stacklevel=2)
        return problem
    missing = [name for name in _OPERATORS if not hasattr(torch.ops.mmtal_mts, name)]
    if missing:
        built = f'{_MODULE} was built from another source, without {missing}'
        return f'{built}. Build it again: {_BUILD}'
    return None


_PROBLEM = _load()
_DEVICES = [
    key.lower()
    for key in ('CPU', 'CUDA')
    if _PROBLEM is None
    and torch._C._dispatch_has_kernel_for_dispatch_key(
        'mmtal_mts::boundary_max_pooling', key
    )
]


def compiled_ops_problem(device: str = 'cpu') -> str | None:
    """Returns why the compiled operators are not used on a kind of device.

    Args:
        device: Type of the device, such as 'cpu' or 'cuda'.

    Returns:
        The reason, or None where they are used.
    """
    if _PROBLEM is None and device not in _DEVICES:
        return f'the compiled operators were built for {_DEVICES}, not {device}'
    return _PROBLEM


def takes_compiled(x: Tensor) -> bool:
    """Whether the compiled operators are used for a tensor."""
    # Runtimes of ONNX do not know them.
    exported = torch.onnx.is_in_onnx_export()
    return x.device.type in _DEVICES and x.is_floating_point() and not exported
