"""What a check found, for a person and for a program."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from .coverage import Coverage
from .findings import KINDS, Finding, Findings
from .segments import CheckedVideo
from .settings import CheckSettings

_MAX_SHOWN = 4
_MAX_CLASSES = 25


@dataclass
class CheckReport:
    """Result of a check.

    Attributes:
        findings (Findings): Everything that is wrong.
        videos (list[CheckedVideo]): The usable part of each video.
        classes (Sequence[str]): Class names.
        per_class (dict[str, Counter]): Actions by subset and class.
        coverage (Coverage): What windows and pyramid see.
        settings (CheckSettings): What was checked against.
    """

    findings: Findings
    videos: list[CheckedVideo]
    classes: Sequence[str]
    per_class: dict[str, Counter[str]]
    coverage: Coverage
    settings: CheckSettings

    @property
    def num_annotations(self) -> int:
        """int: Annotations in the file, usable or not."""
        return sum(video.num_annotations for video in self.videos)

    @property
    def is_safe(self) -> bool:
        """bool: Whether training on this file is safe."""
        return not self.findings.num_errors

    def length_bins(self) -> list[dict[str, Any]]:
        """Sorts the actions by length, in powers of two of sampled frames.

        Returns:
            list[dict]: Per bin ``from_f``, ``to_f``, ``actions``, ``share``,
            ``in_window`` (actions in a kept window) and for those ``no_location``,
            ``assigned_median`` and per level ``inside_median``.
        """
        coverage = self.coverage
        # The window is a boundary of its own: longer actions never fit.
        limit = float(self.settings.windows.clip_len)
        edges = sorted({0.0, *(2.0**k for k in range(1, 14)), limit})
        bins = []
        for low, high in zip(edges, [*edges[1:], np.inf]):
            # Half open from below: an action as long as the window fits.
            chosen = (coverage.lengths_f > low) & (coverage.lengths_f <= high)
            if not chosen.any():
                continue
            seen = chosen & (coverage.num_windows > 0)
            entry = {
                'from_f': low,
                'to_f': None if np.isinf(high) else high,
                'actions': int(chosen.sum()),
                'share': float(chosen.mean()),
                'in_window': int(seen.sum()),
            }
            if seen.any():
                inside = coverage.num_inside[seen]
                entry['no_location'] = int((inside.sum(axis=1) == 0).sum())
                entry['assigned_median'] = float(np.median(coverage.num_assigned[seen]))
                entry['inside_median'] = np.median(inside, axis=0).tolist()
            bins.append(entry)
        return bins

    def to_json(self) -> dict[str, Any]:
        """Returns everything as a JSON object."""
        windows = self.settings.windows
        return {
            'safe': self.is_safe,
            'errors': self.findings.num_errors,
            'warnings': self.findings.num_warnings,
            'counts': self.findings.counts(),
            'videos': len(self.videos),
            'annotations': self.num_annotations,
            'usable_actions': sum(len(video.labels) for video in self.videos),
            'classes': {
                name: {subset: found[name] for subset, found in self.per_class.items()}
                for name in self.classes
            },
            'windows': {**asdict(windows), 'kept': self.coverage.kept_windows},
            'lengths': self.length_bins(),
            'findings': [asdict(finding) for finding in self.findings],
        }


def describe_check(report: CheckReport) -> str:
    """Tells the result of a check.

    Args:
        report (CheckReport): From :func:`.check_annotations`.

    Returns:
        str: Lines.
    """
    lines = [
        *_overview(report),
        '',
        describe_findings(report.findings),
        *_classes(report),
        *_windows(report),
        *_lengths(report),
        '',
    ]
    if report.is_safe:
        warnings = f', {report.findings.num_warnings:,} warnings'
        lines.append(f'safe to train on: no errors{warnings}')
    else:
        lines.append(
            f'NOT safe to train on: {report.findings.num_errors:,} errors, '
            f'{report.findings.num_warnings:,} warnings'
        )
    return '\n'.join(lines)


def _overview(report: CheckReport) -> Iterator[str]:
    usable = sum(len(video.labels) for video in report.videos)
    yield (
        f'{len(report.videos):,} videos, {report.num_annotations:,} annotations '
        f'({usable:,} usable), {len(report.classes)} classes'
    )
    for subset in report.per_class:
        chosen = [video for video in report.videos if video.subset == subset]
        num_actions = sum(len(video.labels) for video in chosen)
        empty = sum(not video.labels for video in chosen)
        yield (
            f'  {subset or "(no subset)"}: {num_actions:,} actions in {len(chosen):,} '
            f'videos, {empty:,} of them without any'
        )


def describe_findings(findings: Findings) -> str:
    """Tells what is wrong.

    Args:
        findings (Findings): Of a check.

    Returns:
        str: Lines: each kind of problem with its number and some examples.
    """
    lines = []
    for kind, count in findings.counts().items():
        severity = KINDS[kind].severity
        lines.append(f'{severity:8s}{count:6,} {KINDS[kind].title} ({kind})')
        lines += _examples(findings.of(kind))
    return '\n'.join(lines) or 'nothing is wrong'


def _examples(found: Sequence[Finding]) -> Iterator[str]:
    indent = ' ' * 15
    groups = Counter(finding.group for finding in found if finding.group)
    if groups:
        yield indent + _counted(groups)
    videos = Counter(f.video_id for f in found if f.index is not None)
    if len(found) > _MAX_SHOWN and videos:
        yield f'{indent}in {len(videos):,} videos: {_counted(videos)}'
    for finding in found[:_MAX_SHOWN]:
        yield indent + finding.message
    if len(found) > _MAX_SHOWN:
        yield f'{indent}... and {len(found) - _MAX_SHOWN:,} more (--json has all)'


def _counted(counts: Counter[Any]) -> str:
    shown = ', '.join(
        f'{name} {count:,}' for name, count in counts.most_common(_MAX_SHOWN)
    )
    return shown + ', ...' * (len(counts) > _MAX_SHOWN)


def _classes(report: CheckReport) -> Iterator[str]:
    yield ''
    yield 'actions per class'
    subsets = list(report.per_class)
    total = {
        name: sum(found[name] for found in report.per_class.values())
        for name in report.classes
    }
    shown = sorted(total, key=lambda name: -total[name])
    if len(shown) > _MAX_CLASSES:
        half = _MAX_CLASSES // 2
        shown = [*shown[:half], '', *shown[-half:]]
    width = max((len(name) for name in shown), default=0)
    titles = [subset or '(no subset)' for subset in subsets]
    yield '  ' + ' ' * width + ''.join(f'{title:>12s}' for title in titles)
    for name in shown:
        if not name:
            yield f'  ... {len(total) - 2 * half:,} classes in between (--json)'
            continue
        numbers = (f'{report.per_class[subset][name]:12,}' for subset in subsets)
        yield f'  {name:{width}s}' + ''.join(numbers)


def _windows(report: CheckReport) -> Iterator[str]:
    windows, coverage = report.settings.windows, report.coverage
    rate = f'at {windows.sample_fps:g} fps, stride {windows.stride}'
    if windows.frames_per_video is not None:
        rate = f'for the {windows.frames_per_video} frames sampled of a video'
    yield ''
    yield (
        f'training windows: {windows.clip_len} frames {rate}'
        + (', as AFSD counts them' if windows.one_based_window else '')
    )
    subsets = np.array(coverage.subsets)
    for subset, kept in coverage.kept_windows.items():
        chosen = [video for video in report.videos if video.subset == subset]
        total = sum(video.num_annotations for video in chosen)
        unusable = total - sum(len(video.labels) for video in chosen)
        unseen = int((coverage.num_windows[subsets == subset] == 0).sum())
        if not total:
            continue
        line = (
            f'  {subset or "(no subset)"}: {kept:,} windows kept; '
            f'{unseen + unusable:,} of {total:,} annotations are in none'
        )
        if unusable:
            line += f', {unusable:,} of them because they are unusable'
        yield line


def _lengths(report: CheckReport) -> Iterator[str]:
    windows = report.settings.windows
    strides = [windows.clip_len / length for length in windows.level_lengths]
    yield ''
    yield 'length of the actions, and locations of the pyramid inside (medians)'
    yield (
        '  sampled frames   actions   share  in window  nowhere  trained  '
        + ' '.join(f's{stride:<4g}' for stride in strides)
    )
    for entry in report.length_bins():
        high = '' if entry['to_f'] is None else f'{entry["to_f"]:g}'
        line = (
            f'  {entry["from_f"]:>6g} - {high:<6s} {entry["actions"]:9,} '
            f'{entry["share"]:7.1%} {entry["in_window"]:10,}'
        )
        if entry['in_window']:
            medians = ' '.join(f'{value:<5g}' for value in entry['inside_median'])
            line += (
                f' {entry["no_location"]:8,} {entry["assigned_median"]:8g}  {medians}'
            )
        yield line.rstrip()
    coverage = report.coverage
    if len(coverage.lengths_f):
        unseen = (coverage.num_windows == 0).mean()
        nowhere = (
            (coverage.num_windows > 0) & (coverage.num_inside.sum(axis=1) == 0)
        ).mean()
        yield (
            f'  no level can represent {nowhere + unseen:.2%} of the actions: '
            f'{unseen:.2%} fit no window, {nowhere:.2%} are between the locations'
        )
