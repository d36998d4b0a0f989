"""Training windows as the network sees them, as pictures."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from mmaction.registry import DATASETS
from mmaction.structures import ActionDataSample
from mmengine.config import Config
from mmengine.registry import init_default_scope

from mmtal_mts.datasets.transforms.formatting import META_KEYS
from mmtal_mts.utils import UserError
from mmtal_mts.visualization import Timeline, clip_frames, draw_timelines

_EXTRA_CLASSES = ('part of the cut action', 'inserted background')
# What augmentations note about themselves.
_SHOWN = {'flip': 'mirrored', 'broken': 'video not readable'}


class _Segments(NamedTuple):
    """Ground truth of a window in seconds from its start."""

    segments: np.ndarray
    labels: np.ndarray


def build_dataset(cfg: Config, split: str) -> Any:
    """Build the data set of a config, with what its augmentations did in the samples.

    Args:
        cfg (Config): The config.
        split (str): 'train', 'val' or 'test'.

    Returns:
        Dataset: Ready to use.

    Raises:
        UserError: If the config has no such data set, or its pipeline does not end
            with PackTALInputs.
    """
    loader = cfg.get(f'{split}_dataloader')
    if loader is None:
        raise UserError(f'config {cfg.filename} has no {split}_dataloader')
    init_default_scope(cfg.get('default_scope', 'mmaction'))
    dataset_cfg = innermost = loader.dataset
    while 'pipeline' not in innermost and 'dataset' in innermost:
        innermost = innermost.dataset
    pipeline = innermost.get('pipeline') or [{}]
    if pipeline[-1].get('type') != 'PackTALInputs':
        raise UserError(
            f'config {cfg.filename}: the pipeline of {split}_dataloader must end with '
            'PackTALInputs to be shown'
        )
    # Not in the samples otherwise, because no network needs it.
    keys = tuple(pipeline[-1].get('meta_keys', META_KEYS))
    pipeline[-1]['meta_keys'] = keys + tuple(_SHOWN)
    return DATASETS.build(dataset_cfg)


def browse(
    cfg: Config,
    out_dir: str | os.PathLike,
    split: str = 'train',
    indices: Sequence[int] | None = None,
    num: int = 8,
    seed: int = 0,
) -> Iterator[Path]:
    """Draw windows of a data set, each into a PNG file of its own.

    Args:
        cfg (Config): The config.
        out_dir (str | os.PathLike): Folder of the pictures.
        split (str): 'train', 'val' or 'test'.
        indices (Sequence[int], optional): Windows to draw; None: ``num`` of all,
            evenly spread.
        num (int): See ``indices``.
        seed (int): Of the augmentations.

    Yields:
        Path: Each picture, once it is written.

    Raises:
        UserError: See :func:`build_dataset`, or a window that there is not.
    """
    dataset = build_dataset(cfg, split)
    if indices is None:
        indices = np.linspace(0, len(dataset) - 1, min(num, len(dataset))).astype(int)
    strange = [index for index in indices if not 0 <= index < len(dataset)]
    if strange:
        raise UserError(
            f'window {strange[0]}: the {split} data set has windows 0 to '
            f'{len(dataset) - 1}'
        )
    np.random.seed(seed)
    for index in indices:
        data = dataset[int(index)]
        sample = data['data_samples']
        video = re.sub(r'[^\w.-]', '_', sample.video_id)
        path = Path(out_dir) / f'{index:06d}_{video}_{sample.window_offset}.png'
        draw_window(path, np.asarray(data['inputs']), sample, dataset.metainfo)
        yield path


def draw_window(
    path: str | os.PathLike,
    clip: np.ndarray,
    sample: ActionDataSample,
    metainfo: dict[str, Any],
) -> None:
    """Draw a window as it goes into the network.

    A window that the consistency loss uses is followed by the rearranged one.

    Args:
        path (str | os.PathLike): PNG file to write.
        clip (np.ndarray): (C, T, H, W) uint8, or (C, T) features, which are not drawn.
        sample (ActionDataSample): Its annotation, as from PackTALInputs.
        metainfo (dict): With ``classes``.
    """
    fps, classes = sample.sample_fps, tuple(metainfo['classes'])
    length = clip.shape[1]
    start_s = sample.window_offset / fps
    notes = [word for key, word in _SHOWN.items() if sample.get(key)]
    truth = sample.gt_instances
    timelines = [
        Timeline(
            f'{sample.video_id}, {start_s:.1f} - {start_s + length / fps:.1f} s'
            + ''.join(f', {note}' for note in notes),
            length / fps,
            None,
            _Segments(truth.segments.numpy() / fps, truth.labels.numpy()),
            clip_frames(clip, fps),
        )
    ]
    rearranged = sample.get('consistency')
    if rearranged is not None:
        first = len(classes)
        timelines.append(
            Timeline(
                'rearranged for the consistency loss',
                length / fps,
                None,
                _Segments(
                    rearranged['segments'] / fps, np.array([first, first, first + 1])
                ),
                clip_frames(clip[:, rearranged['frame_order']], fps),
            )
        )
    title = f'{" x ".join(map(str, clip.shape))}, {fps:g} fps'
    draw_timelines(path, timelines, classes + _EXTRA_CLASSES, title=title)
