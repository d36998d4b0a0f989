"""Fuses networks (RGB and flow): averages their raw outputs, decodes and evaluates.

The folders come from ``tools/test.py CONFIG CHECKPOINT --dump-raw FOLDER``. A single
folder is decoded and evaluated again, for instance with other settings of soft-NMS.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

try:
    import numpy as np
    import torch
    from mmaction.structures import ActionDataSample
    from mmengine.config import Config
    from mmengine.evaluator import Evaluator
    from mmengine.registry import init_default_scope
    from rich.progress import track

    from mmtal_mts.apis import CfgOptionsAction, load_config, merge_options
    from mmtal_mts.evaluation.functional.detections import some_names
    from mmtal_mts.evaluation.metrics.raw_outputs import RawOutputFolder, RawWindow
    from mmtal_mts.models.dense_heads import complete_test_cfg
    from mmtal_mts.models.detectors import (
        check_weights,
        predict_streams,
        refine_head_without_weights,
    )
    from mmtal_mts.utils import UserError, run_tool
except ImportError as error:
    sys.exit(f'error: {error}')


def parse_args() -> argparse.Namespace:
    """Parses the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add('raw', nargs='+', help='folders of raw outputs')
    text = 'config whose model.test_cfg and test_evaluator are used, e.g. of a stream'
    add('--config', required=True, help=text)
    text = 'weight of each folder in the average; equal by default'
    add('--weights', type=float, nargs='+', help=text)
    add(
        '--cfg-options',
        nargs='+',
        action=CfgOptionsAction,
        metavar='KEY=VALUE',
        help='override settings of the config, e.g. '
        'test_evaluator.dump_path=detections.json model.test_cfg.nms.sigma=0.3',
    )
    return parser.parse_args()


def main() -> None:
    """Fuses."""
    args = parse_args()
    cfg = merge_options(load_config(args.config), args.cfg_options)
    metrics = fuse_streams(cfg, args.raw, args.weights)
    print('  '.join(f'{name}: {value:.4f}' for name, value in metrics.items()))


def fuse_streams(
    cfg: Config,
    folders: Sequence[str | os.PathLike],
    weights: Sequence[float] | None = None,
) -> dict[str, float]:
    """Averages raw outputs of one folder per network, decodes and evaluates.

    That is what :class:`~mmtal_mts.models.TwoStreamTALMTS` does in one pass.

    Raises:
        UserError: Windows are missing or do not match, or the config lacks something.
    """
    init_default_scope(cfg.get('default_scope', 'mmaction'))
    if cfg.get('test_evaluator') is None:
        raise UserError(f'config {cfg.filename} has no test_evaluator')
    head = refine_head_without_weights(cfg.model)
    test_cfg = cfg.model.get('test_cfg') or cfg.model.get('rgb', {}).get('test_cfg')
    test_cfg = complete_test_cfg(test_cfg)
    weights = check_weights(weights, len(folders))
    streams = [RawOutputFolder(folder) for folder in folders]
    check_windows(streams)
    evaluator = Evaluator(cfg.test_evaluator)
    evaluator.dataset_meta = streams[0].dataset_meta
    for key in track(streams[0].keys, 'Fusing'):
        windows = [stream.load(key) for stream in streams]
        for window, stream in zip(windows[1:], streams[1:], strict=True):
            if found := differences(windows[0], window):
                raise UserError(
                    f'window {key} does not match in {streams[0].path} and '
                    f'{stream.path}: {"; ".join(found)}'
                )
        facts = dict(windows[0].facts, video_id=key.video_id)
        facts.setdefault('window_offset', key.window_offset)
        facts['broken'] = any(window.facts['broken'] for window in windows)
        sample = ActionDataSample(metainfo=facts)
        raw = [
            {
                name: torch.from_numpy(value if name == 'points' else value[None])
                for name, value in window.outputs.items()
            }
            for window in windows
        ]
        predict_streams(head, raw, facts['num_frames'], [sample], test_cfg, weights)
        evaluator.process(data_samples=[sample], data_batch=None)
    return evaluator.evaluate(len(streams[0].keys))


def check_windows(streams: Sequence[RawOutputFolder]) -> None:
    """Raises a ``UserError`` unless all networks saw the same windows and classes."""
    first, *others = streams
    problems = []
    for other in others:
        paths = f'{first.path} and {other.path}'
        metas = f'{first.dataset_meta} and {other.dataset_meta}'
        if other.dataset_meta != first.dataset_meta:
            problems.append(f'{paths} were made with different classes: {metas}')
        for one, two in ((first, other), (other, first)):
            if lacking := sorted(set(one.keys) - set(two.keys)):
                problems.append(
                    f'{len(lacking)} windows of {one.path} are missing in '
                    f'{two.path}: {some_names(lacking, 10)}'
                )
    if problems:
        raise UserError(
            '\n'.join(problems) + '\nRemedy: test all networks with the same '
            'annotation, subset, clip_len, window_stride and sample_fps'
        )


def differences(first: RawWindow, other: RawWindow) -> list[str]:
    """One text per reason why two networks cannot have seen the same window."""
    found = []
    for name in ('num_frames', 'sample_fps', 'duration'):
        one, two = first.facts.get(name), other.facts.get(name)
        values = np.array([one, two], dtype=np.float64)  # NaN in place of None
        if not np.isclose(*values, rtol=1e-6, equal_nan=True):
            texts = ('None' if value is None else f'{value:g}' for value in (one, two))
            found.append(f'{name} {" and ".join(texts)}')
    for name, value in first.outputs.items():
        shape = other.outputs[name].shape
        if value.shape != shape:
            found.append(f'{name} of shape {value.shape} and {shape}')
    points = (window.outputs['points'] for window in (first, other))
    if not found and not np.array_equal(*points):
        found.append('other location centres')
    return found


if __name__ == '__main__':
    sys.exit(run_tool(main))
