"""Fuses networks (RGB and flow): averages their raw outputs, decodes and evaluates.

The folders come from ``tools/test.py CONFIG CHECKPOINT --dump-raw FOLDER``. A single
folder is decoded and evaluated again, for instance with other settings of soft-NMS.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from difflib import unified_diff

try:
    import torch
    from mmaction.structures import ActionDataSample
    from mmengine.config import Config
    from mmengine.evaluator import Evaluator
    from mmengine.registry import init_default_scope
    from rich.progress import track

    from mmtal_mts.apis import CfgOptionsAction, load_config
    from mmtal_mts.evaluation.metrics import load_raw_outputs
    from mmtal_mts.models.dense_heads import complete_test_cfg
    from mmtal_mts.models.detectors import (
        check_weights,
        predict_streams,
        refine_head_without_weights,
    )
    from mmtal_mts.utils import UserError, run_tool
except ImportError as error:
    sys.exit(f'error: {error}')


def main() -> None:
    """Fuses."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add('raw', nargs='+', help='folders of raw outputs')
    text = 'config whose model.test_cfg and test_evaluator are used, e.g. of a stream'
    add('--config', required=True, help=text)
    text = 'weight of each folder in the average; equal by default'
    add('--weights', type=float, nargs='+', help=text)
    text = 'override settings of the config, e.g. test_evaluator.dump_path='
    text += 'detections.json model.test_cfg.nms.sigma=0.4'
    options = dict(nargs='+', action=CfgOptionsAction, metavar='KEY=VALUE')
    add('--cfg-options', help=text, **options)
    args = parser.parse_args()
    cfg = load_config(args.config, args.cfg_options)
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
    streams = [load_raw_outputs(folder) for folder in folders]
    facts = [_describe(**stream) for stream in streams]
    for folder, own in zip(folders, facts, strict=True):
        names = str(folders[0]), str(folder)
        if problems := list(unified_diff(facts[0], own, *names, n=0, lineterm='')):
            raise UserError(
                '\n'.join(problems[:20]) + '\nRemedy: test all networks with the same '
                'annotation, subset, clip_len, window_stride and sample_fps'
            )
    evaluator = Evaluator(cfg.test_evaluator)
    evaluator.dataset_meta = streams[0]['classes']
    windows = list(zip(*(stream['windows'] for stream in streams), strict=True))
    for window, *others in track(windows, 'Fusing'):
        broken = any(one['broken'] for one in (window, *others))
        raw = [
            {name: x if name == 'points' else x[None] for name, x in outputs.items()}
            for outputs in (one.pop('outputs') for one in (window, *others))
        ]
        if not all(torch.equal(one['points'], raw[0]['points']) for one in raw):
            place = f'{window["video_id"]} at sampled frame {window["window_offset"]}'
            raise UserError(f'{place}: the networks have other location centres')
        sample = ActionDataSample(metainfo=dict(window, broken=broken))
        predict_streams(head, raw, window['num_frames'], [sample], test_cfg, weights)
        evaluator.process(data_samples=[sample], data_batch=None)
    return evaluator.evaluate(len(windows))


def _describe(classes: dict, windows: Sequence[dict]) -> list[str]:
    """A line for each class list and window, with all that networks must agree on."""
    lines = [f'{name} {names}' for name, names in classes.items()]
    for w in windows:
        length = f'{w["duration"]:.7g}' if w['duration'] else 'unknown'
        shapes = (f'{key} {tuple(value.shape)}' for key, value in w['outputs'].items())
        lines.append(
            f'{w["video_id"]} at sampled frame {int(w["window_offset"])} '
            f'(duration {length}, sample_fps {w["sample_fps"]:.7g}, num_frames '
            f'{w["num_frames"]}, {", ".join(shapes)})'
        )
    return lines


if __name__ == '__main__':
    sys.exit(run_tool(main))
