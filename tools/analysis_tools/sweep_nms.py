"""Tries settings of the suppression on the raw detections of one test run."""

from __future__ import annotations

import argparse
import json
import sys
from itertools import product
from typing import Any

try:
    from rich.console import Console
    from rich.progress import track

    from mmtal_mts.evaluation import merge_windows, protocols
    from mmtal_mts.evaluation.functional.detections import load_windows
    from mmtal_mts.evaluation.functional.mean_ap import percent_table
    from mmtal_mts.evaluation.functional.post_processing import check_test_cfg
    from mmtal_mts.structures.annotations import ON_INVALID
    from mmtal_mts.utils import UserError, result_console, run_tool
except ImportError as error:
    sys.exit(f'error: {error}')


def parse_args() -> argparse.Namespace:
    """Parses the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    add = parser.add_argument
    add('ground_truth', help='annotation JSON file')
    text = 'NPZ file that tools/test.py writes with --cfg-options test_evaluator.'
    add('windows', help=f'{text}windows_path=FILE.npz')
    add('--subset', nargs='+', help='subsets to evaluate; default: all')
    for name, default in (
        ('--tious', '0.3:0.7:0.1'),
        ('--sigmas', '0.1:0.9:0.2'),
        ('--iou-thresholds', '0.1:0.9:0.2'),
    ):
        add(name, type=protocols.parse_thresholds, metavar=default, default=default)
    methods = ('gaussian', 'linear', 'hard', 'none')
    add('--methods', nargs='+', choices=methods, default=methods[:3])
    add('--min-scores', nargs='+', type=float, default=(0.001,))
    add('--max-per-video', type=int, help='keep only that many, the best')
    add('--on-invalid', choices=ON_INVALID, default='error')
    add('--json', action='store_true', help='print JSON, not a table')
    return parser.parse_args()


def main() -> None:
    """Sweeps."""
    args = parse_args()
    test_cfgs, limit = [], args.max_per_video
    for method in args.methods:
        name, values = 'iou_threshold', args.iou_thresholds
        if method == 'gaussian':
            name, values = 'sigma', args.sigmas
        pairs = [] if method == 'none' else product(values, args.min_scores)
        own = [{'method': method, name: x, 'min_score': y} for x, y in pairs]
        test_cfgs += [{'nms': nms, 'max_per_video': limit} for nms in own or [None]]
    for test_cfg in test_cfgs:
        check_test_cfg(test_cfg)
    windows, durations, classes = load_windows(args.windows)
    source = args.ground_truth, classes, args.subset, args.on_invalid
    _, truth = protocols.load_ground_truth(*source)
    if not set(truth) & set(windows):
        files = f'{args.windows} and {args.ground_truth}'
        raise UserError(f'{files} have no video in common')
    rows = []
    # The bar is for a person; what is printed below may go to a file.
    console = Console(stderr=True)
    for test_cfg in track(test_cfgs, 'settings', console=console, transient=True):
        found = {
            name: merge_windows([own], durations[name], test_cfg)
            for name, own in windows.items()
        }
        data = protocols.EvaluationData(classes, truth, found, args.tious)
        result = data.evaluate()
        rows.append(
            {
                'nms': test_cfg['nms'],
                'tiou_thresholds': list(result.tiou_thresholds),
                'mAP': result.mean_ap.tolist(),
                'average': result.average(),
                'detections': result.counts['detections'],
            }
        )
    if args.json:
        print(json.dumps(rows, indent=1))
    else:
        print_rows(rows)


def print_rows(rows: list[dict[str, Any]]) -> None:
    """Prints a table in percent, and the best setting as written in a config."""
    several = len({row['nms']['min_score'] for row in rows if row['nms']}) > 1
    cells = []
    for row in rows:
        name = 'none'
        if row['nms'] is not None:
            method, value, min_score = row['nms'].values()
            name = f'{method} {value:g}' + f' from {min_score:g}' * several
        cells.append((name, *row['mAP'], row['average'], row['detections']))
    # The first of equally good ones.
    best = max(range(len(rows)), key=lambda place: rows[place]['average'])
    tious = [f'{threshold:g}' for threshold in rows[0]['tiou_thresholds']]
    head, bold = ['setting', *tious, 'average', 'found'], cells[best][0]
    result_console().print(percent_table('mAP in %', head, cells, 2, bold))
    nms = rows[best]['nms']
    text = ', '.join(f'{key}={value!r}' for key, value in (nms or {}).items())
    print(f'best: nms={f"dict({text})" if nms else None}')


if __name__ == '__main__':
    sys.exit(run_tool(main))
