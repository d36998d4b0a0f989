"""Tries settings of the suppression on the raw detections of one test run."""

from __future__ import annotations

import argparse
import itertools
import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

try:
    import numpy as np
    from rich.console import Console
    from rich.progress import track
    from rich.table import Table

    from mmtal_mts.apis.evaluation import parse_thresholds
    from mmtal_mts.evaluation import MeanAPResult, mean_average_precision, merge_videos
    from mmtal_mts.evaluation.functional.detections import load_windows
    from mmtal_mts.evaluation.functional.post_processing import check_test_cfg
    from mmtal_mts.evaluation.protocols import load_ground_truth
    from mmtal_mts.utils import UserError, result_console, run_tool
except ImportError as error:
    sys.exit(f'error: {error}')


def parse_args() -> argparse.Namespace:
    """Parses the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('ground_truth', help='annotation JSON file')
    parser.add_argument(
        'windows',
        help='NPZ file that tools/test.py writes with '
        '--cfg-options test_evaluator.windows_path=FILE.npz',
    )
    parser.add_argument('--subset', nargs='+', help='subsets to evaluate; default: all')
    parser.add_argument('--tious', metavar='0.1:0.7:0.1', default='0.3:0.7:0.1')
    parser.add_argument(
        '--methods',
        nargs='+',
        choices=('gaussian', 'linear', 'hard', 'none'),
        default=('gaussian', 'linear', 'hard'),
    )
    parser.add_argument('--sigmas', metavar='0.1:0.9:0.2', default='0.1:0.9:0.2')
    parser.add_argument(
        '--iou-thresholds', metavar='0.1:0.9:0.2', default='0.1:0.9:0.2'
    )
    parser.add_argument('--min-scores', nargs='+', type=float, default=(0.001,))
    parser.add_argument(
        '--max-per-video', type=int, help='keep only that many, the best'
    )
    parser.add_argument(
        '--on-invalid', choices=('error', 'clamp', 'drop', 'keep'), default='error'
    )
    parser.add_argument('--json', action='store_true', help='print JSON, not a table')
    return parser.parse_args()


def main() -> None:
    """Sweeps."""
    args = parse_args()
    settings = nms_settings(
        args.methods,
        parse_thresholds(args.sigmas),
        parse_thresholds(args.iou_thresholds),
        args.min_scores,
    )
    rows = sweep_nms(
        args.ground_truth,
        args.windows,
        # The bar is for a person; what is printed below may go to a file.
        track(settings, 'settings', console=Console(stderr=True), transient=True),
        subset=args.subset,
        tiou_thresholds=parse_thresholds(args.tious),
        max_per_video=args.max_per_video,
        on_invalid=args.on_invalid,
    )
    rows = list(rows)
    if args.json:
        print(json.dumps([row.as_json() for row in rows], indent=1))
    else:
        print_rows(rows)


class SweepRow(NamedTuple):
    """One setting, None for no suppression, and what it gives."""

    nms: dict[str, Any] | None
    result: MeanAPResult

    def as_json(self) -> dict[str, Any]:
        """Fractions of 1."""
        return {
            'nms': self.nms,
            'tiou_thresholds': list(self.result.tiou_thresholds),
            'mAP': self.result.mean_ap.tolist(),
            'average': self.result.average(),
            'detections': self.result.counts['detections'],
        }


def nms_settings(
    methods: Sequence[str],
    sigmas: Sequence[float] = (0.5,),
    iou_thresholds: Sequence[float] = (0.5,),
    min_scores: Sequence[float] = (0.001,),
) -> list[dict[str, Any] | None]:
    """Settings of the suppression to try; None for method 'none'."""
    settings: list[dict[str, Any] | None] = []
    for method in methods:
        if method == 'none':
            settings.append(None)
            continue
        name = 'sigma' if method == 'gaussian' else 'iou_threshold'
        values = sigmas if method == 'gaussian' else iou_thresholds
        settings += [
            {'method': method, name: value, 'min_score': min_score}
            for value, min_score in itertools.product(values, min_scores)
        ]
    for nms in settings:
        check_test_cfg({'nms': nms})
    return settings


def sweep_nms(
    ann_file: str,
    windows_file: str,
    settings: Iterable[dict[str, Any] | None],
    *,
    subset: str | Sequence[str] | None = None,
    tiou_thresholds: Sequence[float] = (0.3, 0.4, 0.5, 0.6, 0.7),
    max_per_video: int | None = None,
    on_invalid: str = 'error',
) -> Iterator[SweepRow]:
    """Merges the windows with each of the settings, and evaluates."""
    windows, classes = load_windows(windows_file)
    _, videos = load_ground_truth(ann_file, classes, subset, on_invalid)
    if not set(videos) & set(windows):
        raise UserError(f'{windows_file} and {ann_file} have no video in common')
    truth = {name: video.actions for name, video in videos.items()}
    for nms in settings:
        found = merge_videos(windows, {'nms': nms, 'max_per_video': max_per_video})
        yield SweepRow(
            nms, mean_average_precision(truth, found, len(classes), tiou_thresholds)
        )


def print_rows(rows: list[SweepRow]) -> None:
    """Prints a table in percent, and the best setting as it stands in a config."""
    # The first of equally good ones.
    best = rows[int(np.argmax([row.result.average() for row in rows]))]
    table = Table(title='mAP in %', title_justify='left')
    table.add_column('setting', no_wrap=True)
    names = [f'{threshold:g}' for threshold in rows[0].result.tiou_thresholds]
    for name in (*names, 'average', 'found'):
        table.add_column(name, justify='right', no_wrap=True)
    several = len({row.nms['min_score'] for row in rows if row.nms}) > 1
    for row in rows:
        name = 'none'
        if row.nms is not None:
            method, (value, min_score) = row.nms['method'], list(row.nms.values())[1:]
            name = f'{method} {value:g}' + f' from {min_score:g}' * several
        values = (*row.result.mean_ap, row.result.average())
        count = str(row.result.counts['detections'])
        cells = (f'{100 * value:.2f}' for value in values)
        table.add_row(name, *cells, count, style='bold' if row is best else None)
    result_console().print(table)
    nms = best.nms and ', '.join(f'{key}={value!r}' for key, value in best.nms.items())
    print(f'best: nms={None if nms is None else f"dict({nms})"}')


if __name__ == '__main__':
    sys.exit(run_tool(main))
