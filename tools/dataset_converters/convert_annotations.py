"""Convert annotations of another format into the native JSON file."""

from __future__ import annotations

import argparse
import sys

from mmtal_mts.datasets.converters import (
    CONVERTERS,
    convert_annotations,
    describe_conversion,
)
from mmtal_mts.utils.errors import run_tool
from mmtal_mts.utils.io import write_json


def parse_args() -> argparse.Namespace:
    """Arguments of the command line."""
    summaries = {
        name: converter.read.__doc__.splitlines()[0].removesuffix('.')
        for name, converter in CONVERTERS.items()
    }
    formats = '\n'.join(f'  {name:17s} {text}' for name, text in summaries.items())
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog=f'formats:\n{formats}\n\nSee docs/annotations.md.',
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add('sources', nargs='+', help='annotation files or folders')
    add('--out', required=True, help='JSON file to write')
    add('--format', metavar='NAME', help='format, see below; detected by default')
    add(
        '--durations',
        nargs='+',
        default=[],
        metavar='PATH',
        help='durations of the videos: text, table or JSON files, or the folder of '
        'the videos',
    )
    add('--subset', help='subset of all videos')
    add('--classes', metavar='FILE', help='list of the classes')
    add(
        '--keep-ambiguous',
        action='store_true',
        help="keep the segments that THUMOS14 labels 'Ambiguous'",
    )
    add('--fps', type=float, help='frame rate, for formats that count frames')
    add(
        '--label-field', metavar='NAME', help='which part of an annotation is the class'
    )
    add(
        '--select',
        nargs='+',
        default=[],
        metavar='NAME',
        help='tiers, observations or attributes to take',
    )
    return parser.parse_args()


def main() -> None:
    """Converts, writes and reports."""
    args = vars(parse_args())
    out, format_name = args.pop('out'), args.pop('format')
    result = convert_annotations(format_name=format_name, **args)
    write_json(out, result.content)
    print(describe_conversion(result))
    print(f'wrote     {out}')


if __name__ == '__main__':
    sys.exit(run_tool(main))
