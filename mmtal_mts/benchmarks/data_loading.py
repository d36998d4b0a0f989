"""Loading training windows from a data set of arrays that is larger than memory."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from mmaction.registry import DATASETS

from mmtal_mts.datasets import TALDataset
from mmtal_mts.utils import UserError

from .timing import Case

SAMPLE_FPS = 10
FRAME_SHAPE = (112, 112, 3)


def write_sparse_dataset(folder: Path, num_bytes: float, frames_per_video: int) -> int:
    """Writes arrays of zeros that take no space on the disk, and their annotation.

    Args:
        folder: Where to write.
        num_bytes: Size of all arrays together, as a reader sees it.
        frames_per_video: Frames of each array.

    Returns:
        Number of arrays.
    """
    shape = (frames_per_video, *FRAME_SHAPE)
    count = max(round(num_bytes / np.prod(shape, dtype=np.float64)), 1)
    duration = frames_per_video / SAMPLE_FPS
    database = {}
    for number in range(count):
        name = f'video_{number:04d}'
        # Sized by a seek: the blocks of a file that were never written do not exist.
        np.lib.format.open_memmap(folder / f'{name}.npy', 'w+', np.uint8, shape)
        starts = np.arange(1, duration - 10, 20).tolist()
        database[name] = dict(
            subset='training',
            duration=duration,
            annotations=[dict(segment=[s, s + 8], label='action') for s in starts],
        )
    content = json.dumps(dict(version='1', classes=['action'], database=database))
    (folder / 'annotations.json').write_text(content)
    return count


def build_dataset(folder: Path, clip_len: int, crop_size: int) -> TALDataset:
    """The data set with AFSD's training pipeline.

    Args:
        folder: Folder of :func:`write_sparse_dataset`.
        clip_len: Frames of a clip.
        crop_size: Side of a crop in pixels.

    Returns:
        The data set.
    """
    pipeline = [
        dict(type='LoadClip', pad_value=0),
        dict(type='RandomCrop', size=crop_size),
        dict(type='FlipClip', flip_ratio=0.5),
        dict(type='CutInsertBackground'),
        dict(type='FormatShape', input_format='NCTHW'),
        dict(type='PackTALInputs'),
    ]
    return DATASETS.build(
        dict(
            type='TALDataset',
            data_root=str(folder),
            ann_file='annotations.json',
            data_prefix=dict(video=''),
            source_type='npy',
            sample_fps=SAMPLE_FPS,
            clip_len=clip_len,
            pipeline=pipeline,
        )
    )


def data_cases(
    folder: Path,
    gigabytes: float = 20.0,
    clip_len: int = 256,
    crop_size: int = 96,
    clips: int = 20,
) -> list[Case]:
    """The alternatives, in one process; an item is one clip.

    Args:
        folder: Empty folder for a data set that takes hardly any disk space.
        gigabytes: Size of the data set, as a reader sees it.
        clip_len: Frames of a clip.
        crop_size: Side of a crop in pixels.
        clips: Clips that ours loads in one run; the baseline loads one.

    Returns:
        Loading the whole array and normalising in the loader, and our data set.
    """
    if gigabytes <= 0:
        raise UserError(f'--gigabytes {gigabytes} must be positive')
    frames_per_video = max(2660, clip_len)
    count = write_sparse_dataset(folder, gigabytes * 1e9, frames_per_video)
    dataset = build_dataset(folder, clip_len, crop_size)
    random = np.random.default_rng(0)

    def load_whole_array() -> np.ndarray:
        video = np.load(folder / f'video_{random.integers(count):04d}.npy')
        first = random.integers(len(video) - clip_len + 1)
        y, x = random.integers(FRAME_SHAPE[0] - crop_size + 1, size=2)
        clip = video[first : first + clip_len, y : y + crop_size, x : x + crop_size]
        if random.random() < 0.5:
            clip = clip[:, :, ::-1]
        clip = clip.astype(np.float32) / 255 * 2 - 1
        return np.ascontiguousarray(clip.transpose(3, 0, 1, 2))

    def load_windows() -> None:
        for index in random.integers(len(dataset), size=clips):
            dataset[int(index)]

    return [
        Case('whole array, floats in the loader', load_whole_array),
        Case('ours', load_windows, clips),
    ]
