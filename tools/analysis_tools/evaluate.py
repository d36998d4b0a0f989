"""Computes the mAP of a detection file of any system."""

from __future__ import annotations

import argparse
import contextlib
import json
import sys

try:
    from mmtal_mts.apis.evaluation import load_evaluation_data, parse_thresholds
    from mmtal_mts.apis.evaluation_report import print_mean_ap, summarize_mean_ap
    from mmtal_mts.evaluation.protocols import PROTOCOLS
    from mmtal_mts.utils import run_tool
except ImportError as error:
    sys.exit(f'error: {error}')


def parse_args() -> argparse.Namespace:
    """Parses the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('ground_truth', help='annotation JSON file, may be gzipped')
    parser.add_argument('predictions', help='detection JSON file, may be gzipped')
    parser.add_argument('--subset', nargs='+', help='subsets to evaluate; default: all')
    parser.add_argument(
        '--tious', metavar='0.1:0.7:0.1', help='tIoU thresholds; or 0.3,0.5,0.7'
    )
    parser.add_argument(
        '--average-over', metavar='0.3:0.7:0.1', help='default: all thresholds'
    )
    parser.add_argument(
        '--protocol',
        choices=sorted(PROTOCOLS),
        help='leave out the videos, and take the thresholds, of published numbers',
    )
    parser.add_argument(
        '--exclude-videos', nargs='+', default=(), help='videos to leave out'
    )
    parser.add_argument(
        '--count-unknown-videos',
        action='store_true',
        help='detections in videos without ground truth are false positives, as in '
        'the code of the ActivityNet challenge',
    )
    parser.add_argument(
        '--on-invalid',
        choices=('error', 'clamp', 'drop', 'keep'),
        default='error',
        help='what to do about ground-truth segments that reach out of their video',
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
        data = load_evaluation_data(
            args.ground_truth,
            args.predictions,
            subset=args.subset,
            tiou_thresholds=args.tious and parse_thresholds(args.tious),
            average_over=args.average_over and parse_thresholds(args.average_over),
            protocol=args.protocol,
            exclude_videos=args.exclude_videos,
            count_unknown_videos=args.count_unknown_videos,
            on_invalid=args.on_invalid,
        )
    result = data.evaluate()
    if args.json:
        print(json.dumps(summarize_mean_ap(data, result), indent=2))
    else:
        print_mean_ap(data, result, classwise=args.classwise)


if __name__ == '__main__':
    sys.exit(run_tool(main))
