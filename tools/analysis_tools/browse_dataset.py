"""Draws windows of a data set with their labels, after augmentation."""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

try:
    from mmaction.registry import DATASETS
    from mmengine.config import Config
    from mmengine.registry import init_default_scope

    from mmtal_mts import visualization
    from mmtal_mts.apis import CfgOptionsAction, load_config
    from mmtal_mts.datasets.transforms.formatting import META_KEYS
    from mmtal_mts.structures import Segments, frames_to_seconds
    from mmtal_mts.utils import UserError, run_tool
except ImportError as error:
    sys.exit(f'error: {error}')

_EXTRA_CLASSES = ('part of the cut action', 'inserted background')
# What augmentations note about themselves.
_SHOWN = {'flip': 'mirrored', 'broken': 'video not readable'}


def browse(
    cfg: Config,
    out_dir: str | os.PathLike,
    split: str = 'train',
    indices: Sequence[int] | None = None,
    num: int = 8,
    seed: int = 0,
) -> Iterator[Path]:
    """Draws windows, those ``indices`` or ``num`` evenly spread ones, as PNG files.

    A window that the consistency loss uses is followed by the rearranged one. Of
    features only the labels are drawn.
    """
    loader = cfg.get(f'{split}_dataloader')
    if loader is None:
        raise UserError(f'config {cfg.filename} has no {split}_dataloader')
    init_default_scope(cfg.get('default_scope', 'mmaction'))
    innermost = loader.dataset
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
    dataset = DATASETS.build(loader.dataset)
    last = len(dataset) - 1
    if indices is None:
        indices = np.linspace(0, last, min(num, last + 1)).astype(int)
    for index in indices:
        if not 0 <= index <= last:
            text = f'the {split} data set has windows 0 to {last}'
            raise UserError(f'window {index}: {text}')
    np.random.seed(seed)
    classes = tuple(dataset.metainfo['classes'])
    for index in map(int, indices):
        data = dataset[index]
        # As it goes into the network: (C, T, H, W) in 0..255, or features.
        clip, sample = np.asarray(data['inputs']), data['data_samples']
        fps, window = sample.sample_fps, visualization.window_timeline(clip, sample)
        notes = [word for key, word in _SHOWN.items() if sample.get(key)]
        timelines = [replace(window, video_id=', '.join([window.video_id, *notes]))]
        if 'consistency' in sample:
            order, parts = (sample.consistency[k] for k in ('frame_order', 'segments'))
            labels = len(classes) + np.array([0, 0, 1])
            moved = dict(
                video_id='rearranged for the consistency loss',
                ground_truth=Segments(frames_to_seconds(parts, fps), labels),
                frames=visualization.clip_frames(clip[:, order], fps),
            )
            timelines.append(replace(window, **moved))
        video = re.sub(r'[^\w.-]', '_', sample.video_id)
        path = Path(out_dir) / f'{index:06d}_{video}_{sample.window_offset}.png'
        title = f'{" x ".join(map(str, clip.shape))}, {fps:g} fps'
        names = classes + _EXTRA_CLASSES
        picture = visualization.render_timelines(timelines, names, title=title)
        visualization.write_picture(path, picture)
        yield path


def main() -> None:
    """Draws what the command line names."""
    parser = argparse.ArgumentParser(description=__doc__)
    add = parser.add_argument
    add('config', help='config file')
    add('--out', required=True, metavar='DIR', help='for the pictures')
    add('--split', choices=('train', 'val', 'test'), default='train')
    add('--num', type=int, default=8, help='how many, evenly spread')
    add('--indices', nargs='+', type=int, help='which windows, instead of --num')
    add('--seed', type=int, default=0, help='of the augmentations')
    options = dict(nargs='+', action=CfgOptionsAction, metavar='KEY=VALUE')
    add('--cfg-options', help='override settings of the config', **options)
    args = parser.parse_args()
    if args.num < 1:
        raise UserError(f'--num {args.num}: must be at least 1')
    cfg = load_config(args.config, args.cfg_options)
    for path in browse(cfg, args.out, args.split, args.indices, args.num, args.seed):
        print(f'wrote {path}', flush=True)


if __name__ == '__main__':
    sys.exit(run_tool(main))
