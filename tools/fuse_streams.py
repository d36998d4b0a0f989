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

    from mmtal_mts.apis import load_config, merge_options
    from mmtal_mts.evaluation.functional.detections import some_names
    from mmtal_mts.evaluation.functional.raw_outputs import RawOutputFolder, RawWindow
    from mmtal_mts.models.detectors import (
        check_weights,
        predict_streams,
        refine_head_without_weights,
    )
    from mmtal_mts.models.utils import complete_test_cfg
    from mmtal_mts.utils import CfgOptionsAction, UserError, run_tool
except ImportError as error:
    sys.exit(f'error: {error}')


def parse_args() -> argparse.Namespace:
    """Parses the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('raw', nargs='+', help='folders of raw outputs')
    parser.add_argument(
        '--config',
        required=True,
        help='config whose model.test_cfg and test_evaluator are used, e.g. that of a '
        'stream',
    )
    parser.add_argument(
        '--weights',
        type=float,
        nargs='+',
        help='weight of each folder in the average; equal by default',
    )
    parser.add_argument(
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
            found = differences(windows[0], window)
            if found:
                raise UserError(
                    f'window {key} does not match in {streams[0].path} and '
                    f'{stream.path}: {"; ".join(found)}'
                )
        facts = windows[0].facts
        sample = ActionDataSample(
            metainfo=dict(
                facts,
                video_id=key.video_id,
                window_offset=facts.get('window_offset', key.window_offset),
                broken=any(window.facts['broken'] for window in windows),
            )
        )
        raw = [_batch_of_one(window) for window in windows]
        predict_streams(head, raw, facts['num_frames'], [sample], test_cfg, weights)
        evaluator.process(data_samples=[sample], data_batch=None)
    return evaluator.evaluate(len(streams[0].keys))


def check_windows(streams: Sequence[RawOutputFolder]) -> None:
    """Raises a ``UserError`` unless all networks saw the same windows and classes."""
    first = streams[0]
    problems = []
    for other in streams[1:]:
        if other.dataset_meta != first.dataset_meta:
            problems.append(
                f'{first.path} was made with {first.dataset_meta}, {other.path} with '
                f'{other.dataset_meta}'
            )
        for one, two in ((first, other), (other, first)):
            lacking = sorted(set(one.keys) - set(two.keys))
            if lacking:
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
        if one is None or two is None:
            differs = one is not two
        else:
            differs = not np.isclose(one, two, rtol=1e-6)
        if differs:
            texts = ('None' if value is None else f'{value:g}' for value in (one, two))
            found.append(f'{name} {" and ".join(texts)}')
    for name, value in first.outputs.items():
        shape = other.outputs[name].shape
        if value.shape != shape:
            found.append(f'{name} of shape {value.shape} and {shape}')
    if not found and not np.array_equal(
        first.outputs['points'], other.outputs['points']
    ):
        found.append('other location centres')
    return found


def _batch_of_one(window: RawWindow) -> dict[str, torch.Tensor]:
    tensors = {name: torch.from_numpy(v) for name, v in window.outputs.items()}
    return {
        name: value if name == 'points' else value[None]
        for name, value in tensors.items()
    }


if __name__ == '__main__':
    sys.exit(run_tool(main))
