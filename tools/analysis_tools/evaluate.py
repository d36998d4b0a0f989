"""Computes the mAP of a detection file of any system."""

from __future__ import annotations

import argparse
import contextlib
import json
import sys

try:
    import numpy as np

    from mmtal_mts.apis.evaluation import (
        add_evaluation_arguments,
        load_by_arguments,
        parse_thresholds,
    )
    from mmtal_mts.evaluation.functional.mean_ap import mean_ap_table
    from mmtal_mts.utils import result_console, run_tool
except ImportError as error:
    sys.exit(f'error: {error}')


def parse_args() -> argparse.Namespace:
    """Parses the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_evaluation_arguments(parser)
    parser.add_argument(
        '--average-over',
        type=parse_thresholds,
        metavar='0.3:0.7:0.1',
        help='default: all thresholds',
    )
    parser.add_argument('--classwise', action='store_true', help='AP of every class')
    text = 'print JSON, fractions of 1, not a table'
    parser.add_argument('--json', action='store_true', help=text)
    return parser.parse_args()


def main() -> None:
    """Evaluates."""
    args = parse_args()
    # Standard output is for the result alone.
    with contextlib.redirect_stdout(sys.stderr):
        data = load_by_arguments(args)
    result = data.evaluate()
    if args.json:
        content = {
            'tiou_thresholds': list(result.tiou_thresholds),
            'mAP': result.mean_ap.tolist(),
            'average_over': list(data.average_over),
            'average': result.average(data.average_over),
            # None for a class without a segment.
            'classes': {
                name: None if np.isnan(ap).any() else ap.tolist()
                for name, ap in zip(data.classes, result.ap.T, strict=True)
            },
            'counts': result.counts,
            'protocol': data.protocol,
        }
        print(json.dumps(content, indent=2))
    else:
        classes = data.classes if args.classwise else ()
        table, notes = mean_ap_table(result, data.average_over, classes)
        console = result_console()
        console.print(table)
        for note in notes:
            console.print(note, highlight=False, soft_wrap=True)


if __name__ == '__main__':
    sys.exit(run_tool(main))
