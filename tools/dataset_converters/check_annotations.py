"""Check an annotation file; the exit status says whether training on it is safe."""

from __future__ import annotations

import argparse
import copy
import sys
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from mmtal_mts.apis.annotation_check import (
    CheckSettings,
    WindowSettings,
    check_annotations,
)
from mmtal_mts.apis.annotation_report import CheckReport, Findings, describe_check
from mmtal_mts.datasets.converters import SourceFile, read_class_names
from mmtal_mts.structures.annotations import read_native, summarize_problems
from mmtal_mts.utils.errors import UserError, run_tool
from mmtal_mts.utils.io import atomic_write, write_json

MODES = ('clamp', 'drop')
_CLAMPED = ('before-start', 'beyond-end')
_DROPPED = ('outside', 'not-positive', 'duplicate')
_COLORS = ('#1f6feb', '#bf8700', '#1a7f37', '#8250df', '#cf222e')


def parse_args() -> argparse.Namespace:
    """Arguments of the command line."""
    defaults = WindowSettings()
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog='exit status: 0 safe, 1 not safe (with --fix: what is said of the '
        'corrected file), 2 the file or an argument cannot be used',
    )
    add = parser.add_argument
    add('annotation', help='native annotation JSON file')
    add(
        '--videos',
        nargs='+',
        metavar='DIR',
        default=[],
        help='compare with the videos, or with arrays or images extracted from them',
    )
    add('--subset', nargs='+', default=[], help='check only these')
    add('--classes', metavar='FILE', help='list of the classes')
    add = parser.add_argument_group('training').add_argument
    add('--window', type=int, default=defaults.clip_len)
    add('--fps', type=float, default=defaults.sample_fps)
    add('--stride', type=int, default=defaults.stride)
    add(
        '--frames-per-video',
        type=int,
        help='sample this many frames of every video instead of --fps (ActivityNet)',
    )
    add(
        '--afsd-windows',
        action='store_true',
        help='count windows from 1 as AFSD does (one_based_window of the data set)',
    )
    add('--levels', type=int, default=defaults.num_levels)
    add(
        '--first-stride',
        type=int,
        default=defaults.first_stride,
        help='sampled frames per location of the finest level',
    )
    add = parser.add_argument_group('correction').add_argument
    add('--fix', choices=MODES, help='correct what can be corrected')
    add('--out', help='with --fix: JSON file to write')
    add = parser.add_argument_group('report').add_argument
    add('--json', metavar='FILE', help='write everything found')
    add('--plot', metavar='PNG', help='draw lengths and numbers')
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


def repair_annotations(
    content: dict[str, Any], findings: Findings, mode: str
) -> tuple[dict[str, Any], list[str]]:
    """Makes a corrected copy of an annotation file.

    =============================  ========  ========
    finding                        'clamp'   'drop'
    =============================  ========  ========
    before-start, beyond-end       cut       removed
    outside, not-positive          removed   removed
    duplicate, also after cutting  removed   removed
    unknown-label                  stays     removed
    everything else                stays     stays
    =============================  ========  ========

    Args:
        content: The file.
        findings: Of this file.
        mode: 'clamp' or 'drop'.

    Returns:
        The copy, and a line for each change.

    Raises:
        ValueError: There is no such mode.
    """
    if mode not in MODES:
        raise ValueError(f'mode must be one of {MODES}, got {mode!r}')
    removed_kinds = _DROPPED
    if mode == 'drop':
        removed_kinds = (*_DROPPED, *_CLAMPED, 'unknown-label')
    content = copy.deepcopy(content)
    database = content['database']
    changes: list[str] = []
    removed: dict[str, set[int]] = {}
    for finding in findings:
        if finding.index is not None and finding.kind in removed_kinds:
            removed.setdefault(finding.video_id, set()).add(finding.index)
            changes.append(f'removed ({finding.kind}): {finding.message}')
    for finding in findings if mode == 'clamp' else ():
        gone = removed.setdefault(finding.video_id, set())
        if finding.kind not in _CLAMPED or finding.index in gone:
            continue
        items = database[finding.video_id]['annotations']
        _cut(items[finding.index], database[finding.video_id].get('duration'))
        changes.append(f'cut ({finding.kind}): {finding.message}')
        keys = [_key(item) for index, item in enumerate(items) if index not in gone]
        if keys.count(_key(items[finding.index])) > 1:
            gone.add(finding.index)
            changes.append(f'removed (duplicate once it is cut): {finding.message}')
    for video_id, gone in removed.items():
        if gone:
            entry = database[video_id]
            kept = (i for n, i in enumerate(entry['annotations']) if n not in gone)
            entry['annotations'] = list(kept)
    return content, changes


def _cut(item: dict[str, Any], duration: Any) -> None:
    start, end = map(float, item['segment'])
    limit = end if duration is None else float(duration)
    item['segment'] = [max(start, 0.0), min(end, limit)]


def _key(item: Any) -> Any:
    """What two annotations have in common if they are the same."""
    try:
        return item['label'], *map(float, item['segment'])
    except (KeyError, TypeError, ValueError):
        return id(item)


def draw_statistics(path: str, report: CheckReport, title: str) -> None:
    """Draws how long actions are, and how many a video has, into a PNG file.

    Args:
        path: PNG file to write.
        report: Of a check.
        title: Of the picture.

    Raises:
        UserError: There is no action to draw.
    """
    windows, coverage = report.settings.windows, report.coverage
    every = coverage.lengths_f[coverage.lengths_f > 0]
    if not len(every):
        raise UserError(f'{title}: there is no action to draw (--plot)')
    names = list(report.per_class)
    subsets = np.array(coverage.subsets)
    lengths = [
        coverage.lengths_f[(subsets == name) & (coverage.lengths_f > 0)]
        for name in names
    ]
    numbers = [
        [len(video.labels) for video in report.videos if video.subset == name]
        for name in names
    ]
    style = dict(
        stacked=True,
        label=[name or '(no subset)' for name in names],
        color=[_COLORS[i % len(_COLORS)] for i in range(len(names))],
        rwidth=0.92,
    )
    figure = Figure(figsize=(14, 5.2), dpi=100, layout='constrained')
    figure.suptitle(title, x=0.01, ha='left', parse_math=False)
    left, right = figure.subplots(1, 2)
    low, high = every.min(initial=1.0), max(every.max(), windows.clip_len * 1.3)
    left.hist(lengths, bins=np.geomspace(low * 0.95, high * 1.05, 45), **style)
    left.set(xscale='log', xlabel='sampled frames', ylabel='actions')
    left.xaxis.set_major_formatter(lambda value, _: f'{value:g}')
    for length in windows.level_lengths:
        left.axvline(windows.clip_len / length, color='#d8dee4', zorder=0)
    left.axvline(windows.clip_len, color='black', linestyle='--')
    left.set_title(
        f'Length of the actions, {(every > windows.clip_len).mean():.1%} longer than '
        f'the\nwindow of {windows.clip_len} frames (grey: distance of the locations of '
        'each level)',
        fontsize=10,
    )
    counts = np.concatenate(numbers)
    # A few crowded videos would squeeze all others into the first bar.
    limit = max(np.percentile(counts, 99), 10.0)
    step = max(int(np.ceil(limit / 40)), 1)
    bins = np.arange(0, limit + 2 * step, step) - 0.5
    right.hist([np.minimum(n, bins[-1] - step / 2) for n in numbers], bins, **style)
    text = f'Actions per video, median {np.median(counts):g}, most {counts.max():g}'
    beyond = int((counts > bins[-1]).sum())
    if beyond:
        text += f' (last bar: {beyond} videos with {int(bins[-2] + 1)} or more)'
    right.set_title(text, fontsize=10)
    right.set(xlabel='actions in a video', ylabel='videos')
    right.legend(frameon=False)
    with atomic_write(path) as temporary:
        figure.savefig(temporary, format='png')


def main() -> int:
    """Checks, reports, corrects."""
    args = parse_args()
    settings = settings_of(args)
    content, duplicate_keys = read_native(args.annotation)
    report = check_annotations(content, settings, duplicate_keys)
    print(describe_check(report))
    changes: list[str] = []
    if args.fix:
        fixed, changes = repair_annotations(content, report.findings, args.fix)
        write_json(args.out, fixed)
        print(f'\n--fix {args.fix}: {len(changes)} changes, wrote {args.out}')
        print(summarize_problems(changes))
        report = check_annotations(fixed, settings)
        print(f'\nchecked again:\n{describe_check(report)}')
    if args.json:
        result = report.to_json()
        if args.fix:
            result['changes'] = changes
        write_json(args.json, result)
        print(f'wrote {args.json}')
    if args.plot:
        draw_statistics(args.plot, report, Path(args.annotation).name)
        print(f'wrote {args.plot}')
    return 0 if report.is_safe else 1


if __name__ == '__main__':
    statuses: list[int] = []
    failure = run_tool(lambda: statuses.append(main()))
    sys.exit(failure or statuses[0])
