"""What was extracted from videos beforehand: image folders, arrays and features."""

from __future__ import annotations

import os
import pickle
import re
import zipfile
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from mmaction.datasets.transforms import RawFrameDecode

from .video import VideoReadError

CHANNELS = {'RGB': 3, 'Flow': 2}
# Type, number of dimensions and length of the last one of the array of a video.
_LAYOUTS = {
    'RGB': (np.uint8, 4, 3, 'uint8 frames of shape (T, H, W, 3)'),
    'Flow': (np.uint8, 4, 2, 'uint8 flow of shape (T, H, W, 2)'),
    'features': (np.floating, 2, None, 'floating features of shape (T, C)'),
}
_NUMBERED = re.compile(
    r'(?P<name>.*?)(?P<number>\d+)\.(?:jpe?g|png|bmp)', re.IGNORECASE
)
_REMEDY = 'Extract the frames of this video again.'
# Names under which a file of several arrays holds the features.
_FEATURE_NAMES = ('features', 'feats', 'feat')


def open_images(
    path: str, filename_tmpl: str, modality: str, start_index: int
) -> tuple[int, Callable[[np.ndarray], list[np.ndarray]]]:
    """Opens a folder with one numbered image per frame, or x and y of its flow.

    Args:
        path: Folder.
        filename_tmpl: Image name, for instance 'img_{:05}.jpg', or
            '{}_{:05}.jpg' for flow.
        modality: 'RGB' or 'Flow'.
        start_index: Number of the first image.

    Returns:
        The number of frames, at least one, and what reads those of (M,) int64 indices:
        M arrays (H, W, 3) RGB or (H, W, 2), uint8.

    Raises:
        VideoReadError: If there is no image, or if one to be read is damaged.
    """

    def image_path(index: int) -> str:
        number = index + start_index
        parts = ('x', number) if modality == 'Flow' else (number,)
        return os.path.join(path, filename_tmpl.format(*parts))

    def is_missing(index: int) -> bool:
        return not os.path.isfile(image_path(index))

    def read(indices: np.ndarray) -> list[np.ndarray]:
        request = dict(frame_dir=path, filename_tmpl=filename_tmpl, modality=modality)
        try:
            request['frame_inds'] = indices + start_index
            images = RawFrameDecode()(request)['imgs']
            if any(image is None for image in images):
                raise ValueError('an image is damaged')
        except FileNotFoundError as err:
            raise VideoReadError(f'{err.filename}: missing image. {_REMEDY}') from err
        except MemoryError:
            raise
        # A damaged image is decoded to None, which fails in various ways.
        except Exception as err:
            first, last = image_path(indices[0]), image_path(indices[-1])
            raise VideoReadError(
                f'{path}: damaged image between {first} and {last}. {_REMEDY}'
            ) from err
        return images

    if is_missing(0):
        raise VideoReadError(
            f'{image_path(0)}: no such image. Check filename_tmpl ({filename_tmpl!r}) '
            f'and start_index ({start_index}).'
        )
    # Bisection is quicker than a list of the folder.
    upper = 1
    while not is_missing(upper):
        upper *= 2
    return bisect_left(range(upper), True, lo=upper // 2, key=is_missing), read


def count_images(path: str) -> int:
    """Counts the numbered images of a folder, whatever they are called.

    Args:
        path: Folder, of optical flow or of RGB.

    Returns:
        Number of frames.

    Raises:
        VideoReadError: If there is none, one is missing in between, or the components
            of the flow are not as many.
    """
    numbers = defaultdict(list)
    for match in map(_NUMBERED.fullmatch, os.listdir(path)):
        if match:
            numbers[match['name']].append(int(match['number']))
    if not numbers:
        raise VideoReadError(f'{path}: holds no numbered images')
    for name, found in numbers.items():
        first, last = min(found), max(found)
        if last - first >= len(found):
            raise VideoReadError(
                f'{path}: {last - first + 1 - len(found)} images are missing between '
                f'{name}{first} and {name}{last}. {_REMEDY}'
            )
    counts = {len(found) for found in numbers.values()}
    if len(counts) > 1:
        listed = ', '.join(f'{len(numbers[name])} {name}*' for name in sorted(numbers))
        raise VideoReadError(f'{path}: holds different numbers: {listed}. {_REMEDY}')
    return counts.pop()


def open_array(path: str, modality: str) -> np.ndarray:
    """Opens the frames or features of a video; ``.npy`` and ``.pt`` are not read whole.

    Args:
        path: ``.npy``; ``.npz`` with one array, or one called 'features',
            'feats' or 'feat'; or ``.pt``/``.pth`` with a tensor, or a dict with one.
            Nothing that would have to be unpickled is loaded.
        modality: 'RGB', 'Flow' or 'features'.

    Returns:
        (T, H, W, 3) uint8, (T, H, W, 2) uint8, or (T, C) of a floating type;
        memory-mapped where the format allows.

    Raises:
        VideoReadError: If the file is damaged or holds something else.
    """
    dtype, num_dims, last, needed = _LAYOUTS[modality]
    try:
        array = _load(path)
    except (
        *(OSError, ValueError, EOFError, RuntimeError),
        *(pickle.UnpicklingError, zipfile.BadZipFile),
    ) as error:
        reason = str(error).splitlines()[0]
        raise VideoReadError(f'{path}: not a readable array ({reason})') from error
    found = type(array).__name__
    if isinstance(array, np.ndarray):
        fits = array.ndim == num_dims and last in (None, array.shape[-1])
        if fits and array.size and np.issubdtype(array.dtype, dtype):
            return array
        found = f'{array.dtype} {array.shape}'
    raise VideoReadError(f'{path}: needs {needed}, found {found}')


def _load(path: str) -> Any:
    extension = os.path.splitext(path)[1].lower()
    if extension == '.npz':
        with np.load(path, allow_pickle=False) as archive:
            return archive[_name(archive.files)]
    if extension not in ('.pt', '.pth'):
        return np.load(path, mmap_mode='r', allow_pickle=False)
    settings = dict(map_location='cpu', weights_only=True)
    try:
        loaded = torch.load(path, mmap=True, **settings)
    except RuntimeError:
        # The format before torch 1.6 cannot be mapped.
        loaded = torch.load(path, **settings)
    if isinstance(loaded, dict):
        tensors = [k for k, value in loaded.items() if isinstance(value, torch.Tensor)]
        loaded = loaded[_name(tensors)]
    if isinstance(loaded, torch.Tensor):
        # Numpy does not know bfloat16.
        is_known = loaded.dtype != torch.bfloat16
        loaded = (loaded if is_known else loaded.float()).detach().numpy()
    return loaded


def _name(names: list[str]) -> str:
    """Which of several arrays holds the features."""
    known = names if len(names) == 1 else [n for n in _FEATURE_NAMES if n in names]
    if len(known) != 1:
        raise ValueError(
            f'holds {sorted(names)}; needs one array, or one of them called '
            f'{" or ".join(_FEATURE_NAMES)}'
        )
    return known[0]
