"""Convert annotations of another format into the native JSON file."""

from __future__ import annotations

import argparse
import sys

from mmtal_mts.datasets.converters import (
    CONVERTERS,
    ConvertOptions,
    SourceFile,
    convert_annotations,
    describe_conversion,
    read_class_names,
    read_video_facts,
)
from mmtal_mts.utils.errors import run_tool
from mmtal_mts.utils.io import write_json


def parse_args() -> argparse.Namespace:
    """Arguments of the command line."""
    formats = '\n'.join(
        f'  {name:17s} {converter.summary}' for name, converter in CONVERTERS.items()
    )
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog=f'formats:\n{formats}\n\nSee docs/annotations.md.',
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument('sources', nargs='+', help='annotation files or folders')
    parser.add_argument('--out', required=True, help='JSON file to write')
    parser.add_argument(
        '--format', metavar='NAME', help='format, see below; detected by default'
    )
    parser.add_argument(
        '--durations',
        nargs='+',
        default=[],
        metavar='PATH',
        help='durations of the videos: text, table or JSON files, or the folder of '
        'the videos',
    )
    parser.add_argument('--subset', help='subset of all videos')
    parser.add_argument('--classes', metavar='FILE', help='list of the classes')
    parser.add_argument(
        '--keep-ambiguous',
        action='store_true',
        help="keep the segments that THUMOS14 labels 'Ambiguous'",
    )
    parser.add_argument(
        '--fps', type=float, help='frame rate, for formats that count frames'
    )
    parser.add_argument(
        '--label-field', metavar='NAME', help='which part of an annotation is the class'
    )
    parser.add_argument(
        '--select',
        nargs='+',
        default=[],
        metavar='NAME',
        help='tiers, observations or attributes to take',
    )
    return parser.parse_args()


def main() -> None:
    """Converts, writes and reports."""
    args = parse_args()
    options = ConvertOptions(
        subset=args.subset,
        durations=read_video_facts(args.durations),
        keep_ambiguous=args.keep_ambiguous,
        fps=args.fps,
        classes=read_class_names(SourceFile(args.classes)) if args.classes else None,
        label_field=args.label_field,
        select=tuple(args.select),
    )
    result = convert_annotations(args.sources, args.format, options)
    write_json(args.out, result.content)
    print(describe_conversion(result))
    print(f'wrote     {args.out}')


if __name__ == '__main__':
    sys.exit(run_tool(main))
