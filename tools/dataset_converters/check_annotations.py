"""Check an annotation file; the exit status says whether training on it is safe."""

from __future__ import annotations

import argparse
import copy
import sys
from collections.abc import Iterable
from dataclasses import fields
from pathlib import Path
from typing import Any

from mmtal_mts.apis.annotation_check import WindowSettings, check_annotations
from mmtal_mts.datasets.converters import SourceFile, read_class_names
from mmtal_mts.structures.annotations import Finding, read_native, summarize_problems
from mmtal_mts.utils.errors import run_tool
from mmtal_mts.utils.io import write_json

# What --fix cuts or removes; all else stays.
_CLAMPED = ('before-start', 'beyond-end')
_REMOVED = {
    'clamp': ('outside', 'not-positive', 'duplicate'),
    'drop': ('outside', 'not-positive', 'duplicate', 'unknown-label', *_CLAMPED),
}
# Options of the training, by the setting that they give.
_TRAINING = {
    'clip_len': ('--window', 'length of a window in sampled frames'),
    'sample_fps': ('--fps', 'rate of sampling'),
    'stride': ('--stride', 'distance of windows in sampled frames'),
    'num_levels': ('--levels', 'levels of the pyramid'),
    'first_stride': ('--first-stride', 'sampled frames per location of the finest'),
}


def parse_args() -> argparse.Namespace:
    """Arguments of the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog='exit status: 0 safe, 1 not safe (with --fix: what is said of the '
        'corrected file), 2 the file or an argument cannot be used',
    )
    add = parser.add_argument
    add('annotation', help='native annotation JSON file')
    text = 'compare with the videos, or with arrays or images extracted from them'
    add('--videos', nargs='+', metavar='DIR', default=[], help=text)
    add('--subset', nargs='+', default=[], help='check only these')
    add('--classes', metavar='FILE', help='list of the classes')
    add = parser.add_argument_group('training').add_argument
    for name, (option, text) in _TRAINING.items():
        value = getattr(WindowSettings, name)
        text = f'{text} (default: {value:g})'
        add(option, dest=name, type=type(value), default=value, metavar='N', help=text)
    text = 'sample this many frames of every video instead of --fps (ActivityNet)'
    add('--frames-per-video', type=int, metavar='N', help=text)
    text = 'count windows from 1 as AFSD does (one_based_window of the data set)'
    add('--afsd-windows', dest='one_based_window', action='store_true', help=text)
    add = parser.add_argument_group('correction').add_argument
    add('--fix', choices=tuple(_REMOVED), help='correct what can be corrected')
    add('--out', help='with --fix: JSON file to write')
    add = parser.add_argument_group('report').add_argument
    add('--json', metavar='FILE', help='write everything found')
    add('--plot', metavar='PNG', help='draw lengths and numbers')
    args = parser.parse_args()
    if (args.fix is None) != (args.out is None):
        parser.error('--fix and --out go together')
    for name, (option, _) in _TRAINING.items():
        if not getattr(args, name) > 0:
            parser.error(f'{option} must be positive')
    return args


def _repair(
    content: dict[str, Any], findings: Iterable[Finding], mode: str
) -> tuple[dict[str, Any], list[str]]:
    """Makes a corrected copy of an annotation file, and a line for each change."""
    content, changes = copy.deepcopy(content), []
    # The annotations that are left, by video and position.
    left: dict[str, dict[int, Any]] = {}
    findings = [finding for finding in findings if finding.index is not None]
    for finding in findings:
        items = content['database'][finding.video_id]['annotations']
        items = left.setdefault(finding.video_id, dict(enumerate(items)))
        if finding.kind in _REMOVED[mode]:
            items.pop(finding.index, None)
            changes.append(f'removed ({finding.kind}): {finding.message}')
    for finding in findings:
        entry, items = content['database'][finding.video_id], left[finding.video_id]
        if finding.kind not in _CLAMPED or finding.index not in items:
            continue
        item = items[finding.index]
        start, end = map(float, item['segment'])
        if finding.kind == 'beyond-end':
            end = float(entry['duration'])
        # The other boundary may be out of the video by rounding.
        item['segment'] = [max(start, 0.0), end]
        changes.append(f'cut ({finding.kind}): {finding.message}')
        if [*map(_key, items.values())].count(_key(item)) > 1:
            del items[finding.index]
            changes.append(f'removed (duplicate once it is cut): {finding.message}')
    for video_id, items in left.items():
        content['database'][video_id]['annotations'] = [*items.values()]
    return content, changes


def _key(item: Any) -> Any:
    """What two annotations have in common if they are the same."""
    try:
        return item['label'], *map(float, item['segment'])
    except (KeyError, TypeError, ValueError):
        return id(item)


def main() -> int:
    """Checks, reports, corrects."""
    args = parse_args()
    windows = {
        field.name: getattr(args, field.name) for field in fields(WindowSettings)
    }
    settings = dict(
        windows=WindowSettings(**windows),
        classes=list(read_class_names(SourceFile(args.classes)).values())
        if args.classes
        else None,
        subsets=args.subset,
        video_dirs=args.videos,
    )
    content, duplicate_keys = read_native(args.annotation)
    report = check_annotations(content, **settings, duplicate_keys=duplicate_keys)
    print(report.describe())
    more = {}
    if args.fix:
        fixed, changes = _repair(content, report.findings, args.fix)
        write_json(args.out, fixed)
        print(f'\n--fix {args.fix}: {len(changes)} changes, wrote {args.out}')
        print(summarize_problems(changes))
        report, more = check_annotations(fixed, **settings), dict(changes=changes)
        print(f'\nchecked again:\n{report.describe()}')
    if args.json:
        write_json(args.json, {**report.to_json(), **more})
        print(f'wrote {args.json}')
    if args.plot:
        report.draw(args.plot, Path(args.annotation).name)
        print(f'wrote {args.plot}')
    return 0 if report.is_safe else 1


if __name__ == '__main__':
    statuses: list[int] = []
    failure = run_tool(lambda: statuses.append(main()))
    sys.exit(failure or statuses[0])
