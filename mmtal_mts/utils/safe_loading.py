"""Loads checkpoints without ever running what they ask for.

Torch 2.6 and newer load weights only, and need to be told what else a checkpoint of
MMEngine holds: the history of its losses and numpy numbers. Older ones cannot be told
so; for them the same list limits Python's own unpickler.
"""

from __future__ import annotations

import collections
import functools
import os
import pickle
import types
from typing import Any

import numpy as np
import torch

from mmtal_mts.utils.versions import torch_version


def can_extend_torch() -> bool:
    """Says whether torch's own weights-only loading reads checkpoints of MMEngine."""
    return torch_version() >= (2, 6)


def load_safely(path: str | os.PathLike) -> Any:
    """Loads a file of ``torch.save`` on the CPU.

    Args:
        path (str | os.PathLike): A local file.

    Returns:
        What it holds: tensors, plain data, and the history of a training.

    Raises:
        pickle.UnpicklingError: If it asks for anything else.
    """
    if can_extend_torch():
        return torch.load(path, map_location='cpu', weights_only=True)
    # Torch wants something like the module ``pickle``.
    restricted = types.SimpleNamespace(
        __name__='restricted', Unpickler=_RestrictedUnpickler, load=_load
    )
    # Named, because torch 2.4 and 2.5 warn of the default.
    return torch.load(
        path, map_location='cpu', pickle_module=restricted, weights_only=False
    )


@functools.lru_cache
def training_state_globals() -> dict[str, Any]:
    """What the state of a training may name in a pickle.

    Returns:
        Object by name in the pickle. ``getattr``, by which the history names its
        statistics, is replaced by one that can do nothing else.
    """
    from mmengine.logging import HistoryBuffer

    try:
        from numpy._core import multiarray
    except ImportError:  # numpy 1
        from numpy.core import multiarray

    allowed: dict[str, Any] = {
        f'{value.__module__}.{value.__qualname__}': value
        for value in (HistoryBuffer, np.ndarray, np.dtype)
    }
    allowed['builtins.getattr'] = _history_buffer_method
    # The module was renamed in numpy 2; checkpoints of either must load.
    for module in ('numpy.core.multiarray', 'numpy._core.multiarray'):
        allowed[f'{module}._reconstruct'] = multiarray._reconstruct
        allowed[f'{module}.scalar'] = multiarray.scalar
    numeric = '?bBhHiIlLqQefd'
    for kind in dict.fromkeys(type(np.dtype(code)) for code in numeric):
        allowed[f'{kind.__module__}.{kind.__qualname__}'] = kind
    return allowed


def _history_buffer_method(owner: type, name: str) -> Any:
    """The only ``getattr`` that a checkpoint may ask for.

    Args:
        owner: Must be mmengine's ``HistoryBuffer``.
        name: Must be one of its statistics.

    Raises:
        pickle.UnpicklingError: On anything else.
    """
    from mmengine.logging import HistoryBuffer

    allowed = {'min', 'max', 'current', 'mean', *HistoryBuffer._statistics_methods}
    if owner is not HistoryBuffer or name not in allowed:
        raise pickle.UnpicklingError(
            f'The checkpoint asks for attribute {name!r} of {owner!r}; only the '
            'statistics of mmengine HistoryBuffer are allowed'
        )
    return getattr(owner, name)


class _RestrictedUnpickler(pickle.Unpickler):
    """Knows the names that tensors, plain data and a training state consist of."""

    def find_class(self, module: str, name: str) -> Any:
        """Finds what a pickle names.

        Raises:
            pickle.UnpicklingError: If it is not on the list.
        """
        if module == '__builtin__':  # its name in Python 2, which torch writes
            module = 'builtins'
        if module == 'torch' and isinstance(getattr(torch, name, None), torch.dtype):
            return getattr(torch, name)
        wanted = f'{module}.{name}'
        for allowed in (_TENSOR_GLOBALS, training_state_globals()):
            if wanted in allowed:
                return allowed[wanted]
        raise pickle.UnpicklingError(f'Unsupported global: {wanted}')


def _load(file: Any, **kwargs: Any) -> Any:
    return _RestrictedUnpickler(file, **kwargs).load()


def _encode(text: str, encoding: str) -> bytes:
    """How pickles of Python 2's protocol write bytes."""
    if encoding != 'latin1':
        raise pickle.UnpicklingError(f'Unsupported encoding: {encoding}')
    return text.encode(encoding)


_TENSOR_GLOBALS = {
    'collections.OrderedDict': collections.OrderedDict,
    'torch._utils._rebuild_tensor_v2': torch._utils._rebuild_tensor_v2,
    'torch._utils._rebuild_parameter': torch._utils._rebuild_parameter,
    'torch.Size': torch.Size,
    'torch.device': torch.device,
    '_codecs.encode': _encode,
}
