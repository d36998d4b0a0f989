"""Draws windows of a data set with their labels, after augmentation."""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

try:
    from mmaction.registry import DATASETS
    from mmaction.structures import ActionDataSample
    from mmengine.config import Config
    from mmengine.registry import init_default_scope

    from mmtal_mts.apis import CfgOptionsAction, load_config
    from mmtal_mts.datasets.transforms.formatting import META_KEYS
    from mmtal_mts.structures import Segments, frames_to_seconds
    from mmtal_mts.utils import UserError, run_tool
    from mmtal_mts.visualization import Timeline, clip_frames, draw_timelines
except ImportError as error:
    sys.exit(f'error: {error}')

_EXTRA_CLASSES = ('part of the cut action', 'inserted background')
# What augmentations note about themselves.
_SHOWN = {'flip': 'mirrored', 'broken': 'video not readable'}


def build_dataset(cfg: Config, split: str) -> Any:
    """Builds a data set in whose samples stands what its augmentations did."""
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
    # No network needs it, so it is not in the samples otherwise.
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
    """Draws windows, those ``indices`` or ``num`` evenly spread ones, as PNG files."""
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
    classes = tuple(dataset.metainfo['classes'])
    for index in indices:
        data = dataset[int(index)]
        sample = data['data_samples']
        video = re.sub(r'[^\w.-]', '_', sample.video_id)
        path = Path(out_dir) / f'{index:06d}_{video}_{sample.window_offset}.png'
        _draw_window(path, np.asarray(data['inputs']), sample, classes)
        yield path


def _draw_window(
    path: Path, clip: np.ndarray, sample: ActionDataSample, classes: tuple[str, ...]
) -> None:
    """Draws a window as it goes into the network: (C, T, H, W) uint8.

    A window that the consistency loss uses is followed by the rearranged one. Features
    (C, T) are not drawn, only their labels.
    """
    fps = sample.sample_fps
    length_s = frames_to_seconds(clip.shape[1], fps)
    start_s = frames_to_seconds(sample.window_offset, fps)
    notes = [word for key, word in _SHOWN.items() if sample.get(key)]
    name = f'{sample.video_id}, {start_s:.1f} - {start_s + length_s:.1f} s'
    truth = sample.gt_instances
    name = ', '.join([name, *notes])
    shown = [(name, truth.segments.numpy(), truth.labels.numpy(), clip)]
    rearranged = sample.get('consistency')
    if rearranged is not None:
        labels = len(classes) + np.array([0, 0, 1])
        moved = clip[:, rearranged['frame_order']]
        name = 'rearranged for the consistency loss'
        shown.append((name, rearranged['segments'], labels, moved))
    timelines = []
    for name, segments_f, labels, frames in shown:
        actions = Segments(frames_to_seconds(segments_f, fps), labels)
        strip = clip_frames(frames, fps)
        timelines.append(Timeline(name, length_s, None, actions, strip))
    title = f'{" x ".join(map(str, clip.shape))}, {fps:g} fps'
    draw_timelines(path, timelines, classes + _EXTRA_CLASSES, title=title)


def parse_args() -> argparse.Namespace:
    """Parses the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    add = parser.add_argument
    add('config', help='config file')
    add('--out', required=True, metavar='DIR', help='for the pictures')
    add('--split', choices=('train', 'val', 'test'), default='train')
    add('--num', type=int, default=8, help='how many, evenly spread')
    add('--indices', nargs='+', type=int, help='which windows, instead of --num')
    add('--seed', type=int, default=0, help='of the augmentations')
    options = dict(nargs='+', action=CfgOptionsAction, default={}, metavar='KEY=VALUE')
    add('--cfg-options', help='override settings of the config', **options)
    return parser.parse_args()


def main() -> None:
    """Draws."""
    args = parse_args()
    if args.num < 1:
        raise UserError(f'--num {args.num}: must be at least 1')
    cfg = load_config(args.config)
    cfg.merge_from_dict(args.cfg_options)
    for path in browse(cfg, args.out, args.split, args.indices, args.num, args.seed):
        print(f'wrote {path}', flush=True)


if __name__ == '__main__':
    sys.exit(run_tool(main))
