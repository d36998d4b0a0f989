"""Features that were extracted from a video beforehand: (T, C) in a file."""

from __future__ import annotations

import os
import pickle
import zipfile

import numpy as np
import torch

from .video_readers import VideoReadError

# Names under which an archive of several arrays holds the features.
_NAMES = ('features', 'feats', 'feat')


def open_features(path: str) -> np.ndarray:
    """Opens the features of a video; ``.npy`` and ``.pt`` are not read as a whole.

    Args:
        path (str): ``.npy``; ``.npz`` with one array, or one called 'features',
            'feats' or 'feat'; or ``.pt``/``.pth`` with a tensor, or a dict with one.
            Nothing that would have to be unpickled is loaded.

    Returns:
        np.ndarray: (T, C) of a floating type, memory-mapped where the format allows.

    Raises:
        VideoReadError: If the file is damaged or holds something else.
    """
    extension = os.path.splitext(path)[1].lower()
    try:
        if extension == '.npy':
            array = np.load(path, mmap_mode='r', allow_pickle=False)
        elif extension == '.npz':
            with np.load(path, allow_pickle=False) as archive:
                array = archive[_name(path, archive.files)]
        else:
            array = _open_tensor(path)
    except VideoReadError:
        raise
    except (
        *(OSError, ValueError, EOFError, RuntimeError),
        *(pickle.UnpicklingError, zipfile.BadZipFile),
    ) as error:
        reason = str(error).splitlines()[0]
        raise VideoReadError(f'{path}: no readable features ({reason})') from error
    if (
        not isinstance(array, np.ndarray)
        or array.ndim != 2
        or not array.size
        or array.dtype.kind != 'f'
    ):
        is_array = isinstance(array, np.ndarray)
        found = f'{array.dtype} {array.shape}' if is_array else type(array).__name__
        raise VideoReadError(
            f'{path}: needs floating features of shape (T, C), found {found}'
        )
    return array


def _name(path: str, names: list[str]) -> str:
    """Which of several arrays is the one."""
    known = [name for name in _NAMES if name in names]
    if len(names) == 1:
        return names[0]
    if len(known) != 1:
        raise VideoReadError(
            f'{path}: holds {sorted(names)}; needs one array, or one of them called '
            f'{" or ".join(_NAMES)}'
        )
    return known[0]


def _open_tensor(path: str) -> np.ndarray:
    try:
        loaded = torch.load(path, map_location='cpu', weights_only=True, mmap=True)
    except RuntimeError:
        # The format before torch 1.6 cannot be mapped.
        loaded = torch.load(path, map_location='cpu', weights_only=True)
    if isinstance(loaded, dict):
        tensors = [k for k, value in loaded.items() if isinstance(value, torch.Tensor)]
        loaded = loaded[_name(path, tensors)]
    if not isinstance(loaded, torch.Tensor):
        raise VideoReadError(f'{path}: holds a {type(loaded).__name__}, no tensor')
    if loaded.dtype == torch.bfloat16:  # unknown to numpy
        loaded = loaded.float()
    return loaded.detach().numpy()
