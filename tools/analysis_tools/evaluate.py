"""Computes the mAP of a detection file of any system."""

from __future__ import annotations

import argparse
import contextlib
import json
import sys

try:
    from mmtal_mts.evaluation import protocols
    from mmtal_mts.evaluation.functional.mean_ap import print_mean_ap
    from mmtal_mts.utils import result_console, run_tool
except ImportError as error:
    sys.exit(f'error: {error}')


def main() -> None:
    """Evaluates."""
    parser = argparse.ArgumentParser(description=__doc__)
    protocols.add_evaluation_arguments(parser)
    add, kind = parser.add_argument, protocols.parse_thresholds
    option = dict(metavar='0.3:0.7:0.1', help='default: all thresholds')
    add('--average-over', type=kind, **option)
    add('--classwise', action='store_true', help='AP of every class')
    text = 'print JSON, fractions of 1, not a table'
    add('--json', action='store_true', help=text)
    args = vars(parser.parse_args())
    over, classwise, as_json = map(args.pop, ('average_over', 'classwise', 'json'))
    # Standard output is for the result alone.
    with contextlib.redirect_stdout(sys.stderr):
        data = protocols.load_evaluation_data(**args)
    result = data.evaluate()
    if as_json:
        content = {
            'tiou_thresholds': list(result.tiou_thresholds),
            'mAP': result.mean_ap.tolist(),
            'average_over': list(over or result.tiou_thresholds),
            'average': result.average(over),
            # None for a class without a segment.
            'classes': {
                name: ap if ap[0] == ap[0] else None
                for name, ap in zip(data.classes, result.ap.T.tolist(), strict=True)
            },
            'counts': result.counts,
            'protocol': args['protocol'],
        }
        print(json.dumps(content, indent=2))
        return
    print_mean_ap(result_console(), result, over, data.classes if classwise else ())


if __name__ == '__main__':
    sys.exit(run_tool(main))
