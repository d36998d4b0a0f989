"""What all tools that compare detections with ground truth ask for."""

from __future__ import annotations

import argparse

from mmtal_mts.apis.evaluation import (
    EvaluationData,
    load_evaluation_data,
    parse_thresholds,
)
from mmtal_mts.evaluation.protocols import PROTOCOLS


def add_evaluation_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that say what is evaluated.

    Args:
        parser (argparse.ArgumentParser): Of a tool.
    """
    parser.add_argument('ground_truth', help='annotation JSON file, may be gzipped')
    parser.add_argument('predictions', help='detection JSON file, may be gzipped')
    parser.add_argument('--subset', nargs='+', help='subsets to evaluate; default: all')
    parser.add_argument(
        '--tious', metavar='0.1:0.7:0.1', help='tIoU thresholds; or 0.3,0.5,0.7'
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
        help='what to do about ground-truth segments that are invalid (default: what '
        'the protocol does, else error)',
    )


def load_by_arguments(
    args: argparse.Namespace, average_over: str | None = None
) -> EvaluationData:
    """Read the files that the arguments name.

    Args:
        args (argparse.Namespace): See :func:`add_evaluation_arguments`.
        average_over (str, optional): Thresholds, see :func:`.parse_thresholds`.

    Returns:
        EvaluationData: What is evaluated.
    """
    return load_evaluation_data(
        args.ground_truth,
        args.predictions,
        subset=args.subset,
        tiou_thresholds=args.tious and parse_thresholds(args.tious),
        average_over=average_over and parse_thresholds(average_over),
        protocol=args.protocol,
        exclude_videos=args.exclude_videos,
        count_unknown_videos=args.count_unknown_videos,
        on_invalid=args.on_invalid,
    )
