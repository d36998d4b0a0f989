"""Computes the mAP of a detection file of any system."""

from __future__ import annotations

import argparse
import contextlib
import json
import sys

try:
    from mmtal_mts.apis.evaluation_arguments import (
        add_evaluation_arguments,
        load_by_arguments,
    )
    from mmtal_mts.apis.evaluation_report import print_mean_ap, summarize_mean_ap
    from mmtal_mts.utils import run_tool
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
        print(json.dumps(summarize_mean_ap(data, result), indent=2))
    else:
        print_mean_ap(data, result, classwise=args.classwise)


if __name__ == '__main__':
    sys.exit(run_tool(main))
