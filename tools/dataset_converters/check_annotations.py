"""Check an annotation file; the exit status says whether training on it is safe."""

from __future__ import annotations

import argparse
import sys
from collections import defaultdict
from pathlib import Path

from mmtal_mts.apis.annotation_check import (
    CheckReport,
    CheckSettings,
    WindowSettings,
    check_annotations,
    describe_check,
    load_content,
    repair_annotations,
)
from mmtal_mts.apis.annotation_check.repair import MODES
from mmtal_mts.datasets.importers import SourceFile, read_class_names
from mmtal_mts.structures.annotations import summarize_problems
from mmtal_mts.utils import UserError, run_tool
from mmtal_mts.utils.io import write_json
from mmtal_mts.visualization.annotation_plot import draw_annotation_statistics


def parse_args() -> argparse.Namespace:
    """Arguments of the command line."""
    defaults = WindowSettings()
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog='exit status: 0 safe, 1 not safe (with --fix: what is said of the '
        'corrected file), 2 the file or an argument cannot be used',
    )
    parser.add_argument('annotation', help='native annotation JSON file')
    parser.add_argument(
        '--videos',
        nargs='+',
        metavar='DIR',
        default=[],
        help='compare with the videos, or with arrays or images extracted from them',
    )
    parser.add_argument('--subset', nargs='+', default=[], help='check only these')
    parser.add_argument('--classes', metavar='FILE', help='list of the classes')
    group = parser.add_argument_group('training')
    group.add_argument('--window', type=int, default=defaults.clip_len)
    group.add_argument('--fps', type=float, default=defaults.sample_fps)
    group.add_argument('--stride', type=int, default=defaults.stride)
    group.add_argument(
        '--frames-per-video',
        type=int,
        help='sample so many frames of every video instead of --fps (ActivityNet)',
    )
    group.add_argument(
        '--afsd-windows',
        action='store_true',
        help='count windows from 1 as AFSD does (one_based_window of the data set)',
    )
    group.add_argument('--levels', type=int, default=defaults.num_levels)
    group.add_argument(
        '--first-stride',
        type=int,
        default=defaults.first_stride,
        help='sampled frames per location of the finest level',
    )
    group = parser.add_argument_group('correction')
    group.add_argument('--fix', choices=MODES, help='correct what can be corrected')
    group.add_argument('--out', help='with --fix: JSON file to write')
    group = parser.add_argument_group('report')
    group.add_argument('--json', metavar='FILE', help='write everything found')
    group.add_argument('--plot', metavar='PNG', help='draw lengths and numbers')
    args = parser.parse_args()
    if (args.fix is None) != (args.out is None):
        parser.error('--fix and --out go together')
    return args


def settings_of(args: argparse.Namespace) -> CheckSettings:
    """Turns the arguments into settings."""
    for name in ('window', 'fps', 'stride', 'levels', 'first_stride'):
        if not getattr(args, name) > 0:
            raise UserError(f'--{name.replace("_", "-")} must be positive')
    windows = WindowSettings(
        clip_len=args.window,
        sample_fps=args.fps,
        stride=args.stride,
        frames_per_video=args.frames_per_video,
        one_based_window=args.afsd_windows,
        first_stride=args.first_stride,
        num_levels=args.levels,
    )
    classes = None
    if args.classes:
        classes = read_class_names(SourceFile(args.classes)).names
    return CheckSettings(windows, classes, args.subset, args.videos)


def draw(report: CheckReport, path: str, title: str) -> None:
    """Draws the statistics of a report."""
    lengths, numbers = defaultdict(list), defaultdict(list)
    for subset, length in zip(report.coverage.subsets, report.coverage.lengths_f):
        lengths[subset].append(length)
    for video in report.videos:
        numbers[video.subset].append(len(video.labels))
    windows = report.settings.windows
    strides = [windows.clip_len / length for length in windows.level_lengths]
    draw_annotation_statistics(path, lengths, numbers, windows.clip_len, strides, title)


def main() -> int:
    """Checks, reports, corrects."""
    args = parse_args()
    settings = settings_of(args)
    content, duplicate_keys = load_content(args.annotation)
    report = check_annotations(content, settings, duplicate_keys)
    print(describe_check(report))
    if args.fix:
        fixed, changes = repair_annotations(content, report.findings, args.fix)
        write_json(args.out, fixed)
        print(f'\n--fix {args.fix}: {len(changes)} changes, wrote {args.out}')
        print(summarize_problems(changes))
        report = check_annotations(fixed, settings)
        print('\nchecked again:')
        print(describe_check(report))
    if args.json:
        result = report.to_json()
        if args.fix:
            result['changes'] = changes
        write_json(args.json, result)
        print(f'wrote {args.json}')
    if args.plot:
        draw(report, args.plot, Path(args.annotation).name)
        print(f'wrote {args.plot}')
    return 0 if report.is_safe else 1


if __name__ == '__main__':
    statuses: list[int] = []
    failure = run_tool(lambda: statuses.append(main()))
    sys.exit(failure or statuses[0])
