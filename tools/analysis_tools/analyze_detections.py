"""Finds out what is wrong with the detections of any system."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

try:
    from mmtal_mts.apis.diagnosis_report import print_diagnosis, write_diagnosis
    from mmtal_mts.apis.evaluation import add_evaluation_arguments, load_by_arguments
    from mmtal_mts.evaluation.diagnosis import PAPER_EDGES, diagnose
    from mmtal_mts.utils import run_tool
except ImportError as error:
    sys.exit(f'error: {error}')


_EDGES = {
    'length': 'seconds',
    'coverage': 'fractions of the video',
    'instances': 'segments of the class in the video',
}


def parse_args() -> argparse.Namespace:
    """Parses the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_evaluation_arguments(parser)
    add = parser.add_argument
    add('--out', metavar='DIR', help='write diagnosis.json and report.html there')
    add('--tiou', type=float, help='the threshold of the plots; default: 0.5')
    text = 'a detection below it has nothing to do with a segment'
    add('--background-tiou', type=float, default=0.1, help=text)
    text = 'sort segments as the paper of the diagnosis does; default: five buckets of'
    add('--buckets', choices=sorted(PAPER_EDGES), help=f'{text} equal size')
    for name, unit in _EDGES.items():
        text = f'edges of the buckets, {unit}; default: those of --buckets'
        add(f'--{name}-edges', nargs='+', type=float, metavar='EDGE', help=text)
    add('--title', help='title of the page; default: the file names')
    return parser.parse_args()


def main() -> None:
    """Analyzes."""
    args = parse_args()
    edges = dict(PAPER_EDGES.get(args.buckets, {}))
    for name in _EDGES:
        if (given := getattr(args, f'{name}_edges')) is not None:
            edges[name] = given
    data = load_by_arguments(args)
    options = (data.tiou_thresholds, args.tiou, args.background_tiou, edges)
    diagnosis = diagnose(data.classes, data.ground_truth, data.detections, *options)
    print_diagnosis(diagnosis)
    if args.out is not None:
        names = [Path(name).name for name in (args.detection_file, args.ann_file)]
        title = args.title or ' against '.join(names)
        paths = write_diagnosis(args.out, diagnosis, title, args.background_tiou)
        print('\n'.join(f'wrote {path}' for path in paths))


if __name__ == '__main__':
    sys.exit(run_tool(main))
