"""Computes the mAP of a detection file of any system."""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
from typing import Any

try:
    import numpy as np
    from rich.markup import escape
    from rich.table import Table

    from mmtal_mts.apis.evaluation import (
        EvaluationData,
        add_evaluation_arguments,
        load_by_arguments,
    )
    from mmtal_mts.evaluation import MeanAPResult
    from mmtal_mts.evaluation.functional.mean_ap import threshold_rows
    from mmtal_mts.utils import result_console, run_tool
except ImportError as error:
    sys.exit(f'error: {error}')


def parse_args() -> argparse.Namespace:
    """Parses the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_evaluation_arguments(parser)
    parser.add_argument(
        '--average-over', metavar='0.3:0.7:0.1', help='default: all thresholds'
    )
    parser.add_argument('--classwise', action='store_true', help='AP of every class')
    parser.add_argument(
        '--json', action='store_true', help='print JSON, fractions of 1, not a table'
    )
    return parser.parse_args()


def main() -> None:
    """Evaluates."""
    args = parse_args()
    # Standard output is for the result alone.
    with contextlib.redirect_stdout(sys.stderr):
        data = load_by_arguments(args, args.average_over)
    result = data.evaluate()
    if args.json:
        print(json.dumps(as_json(data, result), indent=2))
    else:
        print_result(data, result, args.classwise)


def as_json(data: EvaluationData, result: MeanAPResult) -> dict[str, Any]:
    """The result in fractions of 1; the AP of a class without a segment is None."""
    return {
        'tiou_thresholds': list(result.tiou_thresholds),
        'mAP': result.mean_ap.tolist(),
        'average_over': list(data.average_over),
        'average': result.average(data.average_over),
        'classes': {
            name: None if np.isnan(ap).any() else ap.tolist()
            for name, ap in zip(data.classes, result.ap.T, strict=True)
        },
        'counts': result.counts,
        'protocol': data.protocol,
    }


def print_result(data: EvaluationData, result: MeanAPResult, classwise: bool) -> None:
    """Prints the result in percent."""
    console = result_console()
    rows = threshold_rows(result.tiou_thresholds, data.average_over)
    table = Table(title='mAP in %', title_justify='left')
    table.add_column('tIoU')
    for threshold in result.tiou_thresholds:
        table.add_column(f'{threshold:g}', justify='right')
    table.add_column('average', justify='right')
    if classwise:
        for name, ap in zip(data.classes, result.ap.T, strict=True):
            table.add_row(escape(name), *_percents([*ap, ap[rows].mean()]))
        table.add_section()
    mean = result.mean_ap
    table.add_row('mAP', *_percents([*mean, mean[rows].mean()]), style='bold')
    console.print(table)
    lines = []
    if len(rows) < len(result.tiou_thresholds):
        over = ', '.join(f'{threshold:g}' for threshold in data.average_over)
        lines.append(f'average over tIoU {over}')
    text = '{detections} detections, {segments} segments, {videos} videos'
    lines.append(text.format(**result.counts))
    if result.counts['unknown_video'] or result.counts['unknown_class']:
        text = (
            'left out: {unknown_video} detections in videos without ground truth, '
            '{unknown_class} of classes without a segment'
        )
        lines.append(text.format(**result.counts))
    for line in lines:
        console.print(line, highlight=False, soft_wrap=True)


def _percents(values: list[float]) -> list[str]:
    return ['-' if np.isnan(value) else f'{100 * value:.2f}' for value in values]


if __name__ == '__main__':
    sys.exit(run_tool(main))
