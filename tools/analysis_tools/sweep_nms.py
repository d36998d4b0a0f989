"""Tries settings of the suppression on the raw detections of one test run."""

from __future__ import annotations

import argparse
import itertools
import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

try:
    import numpy as np
    from rich.console import Console
    from rich.progress import track

    from mmtal_mts.apis.evaluation import parse_thresholds
    from mmtal_mts.evaluation import MeanAPResult, mean_average_precision, merge_videos
    from mmtal_mts.evaluation.functional.detections import load_windows
    from mmtal_mts.evaluation.functional.mean_ap import percent_table
    from mmtal_mts.evaluation.functional.post_processing import check_test_cfg
    from mmtal_mts.evaluation.protocols import load_ground_truth
    from mmtal_mts.utils import UserError, result_console, run_tool
except ImportError as error:
    sys.exit(f'error: {error}')


def parse_args() -> argparse.Namespace:
    """Parses the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    add = parser.add_argument
    add('ground_truth', help='annotation JSON file')
    add(
        'windows',
        help='NPZ file that tools/test.py writes with '
        '--cfg-options test_evaluator.windows_path=FILE.npz',
    )
    add('--subset', nargs='+', help='subsets to evaluate; default: all')
    for name, default in (
        ('--tious', '0.3:0.7:0.1'),
        ('--sigmas', '0.1:0.9:0.2'),
        ('--iou-thresholds', '0.1:0.9:0.2'),
    ):
        add(name, type=parse_thresholds, metavar=default, default=default)
    methods = ('gaussian', 'linear', 'hard', 'none')
    add('--methods', nargs='+', choices=methods, default=methods[:3])
    add('--min-scores', nargs='+', type=float, default=(0.001,))
    add('--max-per-video', type=int, help='keep only that many, the best')
    add('--on-invalid', choices=('error', 'clamp', 'drop', 'keep'), default='error')
    add('--json', action='store_true', help='print JSON, not a table')
    return parser.parse_args()


def main() -> None:
    """Sweeps."""
    args = parse_args()
    settings = nms_settings(
        args.methods, args.sigmas, args.iou_thresholds, args.min_scores
    )
    rows = sweep_nms(
        args.ground_truth,
        args.windows,
        # The bar is for a person; what is printed below may go to a file.
        track(settings, 'settings', console=Console(stderr=True), transient=True),
        args.subset,
        args.tious,
        args.max_per_video,
        args.on_invalid,
    )
    if args.json:
        content = [
            {
                'nms': nms,
                'tiou_thresholds': list(result.tiou_thresholds),
                'mAP': result.mean_ap.tolist(),
                'average': result.average(),
                'detections': result.counts['detections'],
            }
            for nms, result in rows
        ]
        print(json.dumps(content, indent=1))
    else:
        print_rows(list(rows))


def nms_settings(
    methods: Sequence[str],
    sigmas: Sequence[float] = (0.5,),
    iou_thresholds: Sequence[float] = (0.5,),
    min_scores: Sequence[float] = (0.001,),
) -> list[dict[str, Any] | None]:
    """Settings of the suppression to try; None for method 'none'."""
    settings: list[dict[str, Any] | None] = []
    for method in methods:
        name, values = 'iou_threshold', iou_thresholds
        if method == 'gaussian':
            name, values = 'sigma', sigmas
        pairs = itertools.product(values, min_scores)
        if method == 'none':
            settings.append(None)
        else:
            settings += [{'method': method, name: x, 'min_score': y} for x, y in pairs]
    for nms in settings:
        check_test_cfg({'nms': nms})
    return settings


def sweep_nms(
    ann_file: str,
    windows_file: str,
    settings: Iterable[dict[str, Any] | None],
    subset: str | Sequence[str] | None = None,
    tiou_thresholds: Sequence[float] = (0.3, 0.4, 0.5, 0.6, 0.7),
    max_per_video: int | None = None,
    on_invalid: str = 'error',
) -> Iterator[tuple[dict[str, Any] | None, MeanAPResult]]:
    """Yields each of the settings and what windows merged with it give."""
    windows, classes = load_windows(windows_file)
    _, videos = load_ground_truth(ann_file, classes, subset, on_invalid)
    if not set(videos) & set(windows):
        raise UserError(f'{windows_file} and {ann_file} have no video in common')
    truth = {name: video.actions for name, video in videos.items()}
    for nms in settings:
        found = merge_videos(windows, {'nms': nms, 'max_per_video': max_per_video})
        yield nms, mean_average_precision(truth, found, len(classes), tiou_thresholds)


def print_rows(rows: list[tuple[dict[str, Any] | None, MeanAPResult]]) -> None:
    """Prints a table in percent, and the best setting as it stands in a config."""
    several = len({nms['min_score'] for nms, _ in rows if nms}) > 1
    cells = []
    for nms, result in rows:
        name = 'none'
        if nms is not None:
            method, value, min_score = nms.values()
            name = f'{method} {value:g}' + f' from {min_score:g}' * several
        count = result.counts['detections']
        cells.append((name, *result.mean_ap, result.average(), count))
    # The first of equally good ones.
    best = int(np.argmax([result.average() for _, result in rows]))
    names = [f'{threshold:g}' for threshold in rows[0][1].tiou_thresholds]
    head = ['setting', *names, 'average', 'found']
    table = percent_table('mAP in %', head, cells, 2, bold=cells[best][0])
    result_console().print(table)
    nms = rows[best][0] or {}
    text = ', '.join(f'{key}={value!r}' for key, value in nms.items())
    print(f'best: nms={f"dict({text})" if nms else None}')


if __name__ == '__main__':
    sys.exit(run_tool(main))
