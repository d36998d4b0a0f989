"""Finds out what is wrong with the detections of any system."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

try:
    from mmtal_mts.apis.diagnosis_report import print_diagnosis, write_diagnosis
    from mmtal_mts.evaluation import protocols
    from mmtal_mts.evaluation.diagnosis import PAPER_EDGES, diagnose
    from mmtal_mts.utils import run_tool
except ImportError as error:
    sys.exit(f'error: {error}')


def main() -> None:
    """Analyzes."""
    parser = argparse.ArgumentParser(description=__doc__)
    protocols.add_evaluation_arguments(parser)
    add = parser.add_argument
    add('--out', metavar='DIR', help='write diagnosis.json and report.html there')
    add('--tiou', type=float, help='the threshold of the plots; default: 0.5')
    text = 'a detection below it has nothing to do with a segment'
    add('--background-tiou', type=float, default=0.1, help=text)
    text = 'sort segments as the paper of the diagnosis does; default: five buckets of'
    add('--buckets', choices=sorted(PAPER_EDGES), help=f'{text} equal size')
    units = {'length': 'seconds', 'coverage': 'fractions of the video'}
    units['instances'] = 'segments of the class in the video'
    for name, unit in units.items():
        text = f'edges of the buckets, {unit}; default: those of --buckets'
        option = dict(dest=name, nargs='+', type=float, metavar='EDGE', help=text)
        add(f'--{name}-edges', **option)
    add('--title', help='title of the page; default: the file names')
    args = vars(parser.parse_args())
    out, tiou, background, title = map(
        args.pop, ('out', 'tiou', 'background_tiou', 'title')
    )
    edges = dict(PAPER_EDGES.get(args.pop('buckets'), {}))
    edges |= {name: own for name in units if (own := args.pop(name)) is not None}
    data = protocols.load_evaluation_data(**args)
    diagnosis = diagnose(*data, tiou, background, edges)
    print_diagnosis(diagnosis)
    if out is not None:
        names = [Path(args[name]).name for name in ('detection_file', 'ann_file')]
        title = title or ' against '.join(names)
        paths = write_diagnosis(out, diagnosis, title, background)
        print('\n'.join(f'wrote {path}' for path in paths))


if __name__ == '__main__':
    sys.exit(run_tool(main))
