"""What was extracted from videos beforehand: image folders, arrays and features."""

from __future__ import annotations

import os
import pickle
import re
import zipfile
from bisect import bisect_left
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from mmaction.datasets.transforms import RawFrameDecode

from .video import VideoReadError

CHANNELS = {'RGB': 3, 'Flow': 2}
_NUMBERED = re.compile(
    r'(?P<name>.*?)(?P<number>\d+)\.(?:jpe?g|png|bmp)', re.IGNORECASE
)
# Names under which an archive of several arrays holds the features.
_FEATURE_NAMES = ('features', 'feats', 'feat')


@dataclass(frozen=True)
class ImageFolder:
    """One numbered image per frame, or two (x and y) for optical flow.

    Attributes:
        path: Folder.
        filename_tmpl: Image name, for instance 'img_{:05}.jpg', or
            '{}_{:05}.jpg' for flow.
        modality: 'RGB' or 'Flow'.
        start_index: Number of the first image.
    """

    path: str
    filename_tmpl: str
    modality: str
    start_index: int

    def _image_path(self, index: int) -> str:
        """The image of a frame, or of its horizontal flow; it need not exist."""
        number = index + self.start_index
        parts = ('x', number) if self.modality == 'Flow' else (number,)
        return os.path.join(self.path, self.filename_tmpl.format(*parts))

    def _is_missing(self, index: int) -> bool:
        return not os.path.isfile(self._image_path(index))

    def count(self) -> int:
        """Counts the frames, at least one, by bisection instead of listing the folder.

        Raises:
            VideoReadError: If there is none.
        """
        if self._is_missing(0):
            raise VideoReadError(
                f'{self._image_path(0)}: no such image. Check filename_tmpl '
                f'({self.filename_tmpl!r}) and start_index ({self.start_index}).'
            )
        upper = 1
        while not self._is_missing(upper):
            upper *= 2
        return bisect_left(range(upper), True, lo=upper // 2, key=self._is_missing)

    def read(self, indices: np.ndarray) -> list[np.ndarray]:
        """Reads frames by MMAction2's RawFrameDecode.

        Args:
            indices: (M,) int64 frames, from 0.

        Returns:
            M arrays (H, W, 3) RGB or (H, W, 2), uint8.

        Raises:
            VideoReadError: If an image is missing or damaged.
        """
        request = dict(
            frame_dir=self.path,
            filename_tmpl=self.filename_tmpl,
            modality=self.modality,
            frame_inds=indices + self.start_index,
        )
        try:
            images = RawFrameDecode()(request)['imgs']
        except FileNotFoundError as err:
            raise VideoReadError(
                f'{err.filename}: missing image. Extract the frames of this video '
                'again.'
            ) from err
        except MemoryError:
            raise
        # A damaged image is decoded to None, which then fails in various ways.
        except Exception as err:
            raise VideoReadError(self._damage(indices)) from err
        if any(image is None for image in images):
            raise VideoReadError(self._damage(indices))
        return images

    def _damage(self, indices: np.ndarray) -> str:
        first, last = (self._image_path(indices[place]) for place in (0, -1))
        return (
            f'{self.path}: damaged image between {first} and {last}. Extract the '
            'frames of this video again.'
        )


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
    numbers: dict[str, list[int]] = {}
    for name in os.listdir(path):
        match = _NUMBERED.fullmatch(name)
        if match:
            numbers.setdefault(match['name'], []).append(int(match['number']))
    if not numbers:
        raise VideoReadError(f'{path}: holds no numbered images')
    remedy = 'Extract the frames of this video again.'
    for name, found in numbers.items():
        missing = max(found) - min(found) + 1 - len(found)
        if missing:
            raise VideoReadError(
                f'{path}: {missing} images are missing between {name}{min(found)} and '
                f'{name}{max(found)}. {remedy}'
            )
    counts = {name: len(found) for name, found in numbers.items()}
    if len(set(counts.values())) > 1:
        listed = ', '.join(f'{count} {name}*' for name, count in sorted(counts.items()))
        raise VideoReadError(f'{path}: holds different numbers: {listed}. {remedy}')
    return next(iter(counts.values()))


def open_array(path: str, modality: str) -> np.ndarray:
    """Opens frames stored as one array, without reading them.

    Args:
        path: ``.npy`` file.
        modality: 'RGB' (3 channels) or 'Flow' (2 channels).

    Returns:
        (T, H, W, C) uint8, memory-mapped.

    Raises:
        VideoReadError: If the file is damaged or holds something else.
    """
    try:
        array = np.load(path, mmap_mode='r', allow_pickle=False)
    except (OSError, ValueError, EOFError) as err:
        raise VideoReadError(f'{path}: not a readable .npy array ({err})') from err
    channels = CHANNELS[modality]
    is_array = isinstance(array, np.ndarray) and array.ndim == 4 and array.size > 0
    if not is_array or array.dtype != np.uint8 or array.shape[3] != channels:
        raise VideoReadError(
            f'{path}: needs uint8 frames of shape (T, H, W, {channels}) for modality '
            f'{modality!r}, found {_describe(array)}.'
        )
    return array


def open_features(path: str) -> np.ndarray:
    """Opens the features of a video; ``.npy`` and ``.pt`` are not read as a whole.

    Args:
        path: ``.npy``; ``.npz`` with one array, or one called 'features',
            'feats' or 'feat'; or ``.pt``/``.pth`` with a tensor, or a dict with one.
            Nothing that would have to be unpickled is loaded.

    Returns:
        (T, C) of a floating type, memory-mapped where the format allows.

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
    is_array = isinstance(array, np.ndarray) and array.ndim == 2 and array.size > 0
    if not is_array or array.dtype.kind != 'f':
        raise VideoReadError(
            f'{path}: needs floating features of shape (T, C), found {_describe(array)}'
        )
    return array


def _describe(array: Any) -> str:
    is_array = isinstance(array, np.ndarray)
    return f'{array.dtype} {array.shape}' if is_array else type(array).__name__


def _name(path: str, names: list[str]) -> str:
    """Which of several arrays holds the features."""
    known = [name for name in _FEATURE_NAMES if name in names]
    if len(names) == 1:
        return names[0]
    if len(known) != 1:
        raise VideoReadError(
            f'{path}: holds {sorted(names)}; needs one array, or one of them called '
            f'{" or ".join(_FEATURE_NAMES)}'
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
