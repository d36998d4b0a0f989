"""What a check found, for a person and for a program."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ...structures.annotations import Finding

if TYPE_CHECKING:
    from .check import CheckedVideo, CheckSettings, Coverage

_MAX_SHOWN = 4
_MAX_CLASSES = 25

KINDS: dict[str, tuple[str, str]] = {
    'duplicate-key': ('error', 'keys stand more than once in the same object'),
    'malformed': ('error', 'entries are malformed'),
    'unknown-label': ('error', 'actions have a label that is not a class'),
    'not-positive': ('error', 'actions end before or when they start'),
    'before-start': ('error', 'actions start before the video'),
    'outside': ('error', 'actions lie wholly outside the video'),
    'beyond-end': ('error', 'actions end after the end of the video'),
    'no-duration': ('error', 'videos have no "duration"'),
    'missing-video': ('error', 'videos are missing'),
    'unreadable-video': ('error', 'videos cannot be read'),
    'duration-mismatch': ('error', 'durations contradict the videos'),
    'frame-count': ('error', 'videos do not have the number of frames extracted'),
    'stream-mismatch': ('error', 'videos differ in length between two folders'),
    'duplicate': ('warning', 'actions stand there twice'),
    'double-label': ('warning', 'actions have the segment of another class'),
    'too-short': ('warning', 'actions are shorter than two sampled frames'),
    'fps-contradiction': (
        'warning',
        'videos have frame columns that contradict their seconds',
    ),
    # Frames are picked by the file's own rate; but who wrote the seconds may not have.
    'fps-mismatch': ('warning', 'frame rates contradict the videos'),
    'uncovered': ('warning', 'actions are in no kept training window'),
    'no-location': ('warning', 'actions are between the locations of all levels'),
    'shadowed': (
        'warning',
        'actions lose all their locations to others at the same time',
    ),
    'no-window': ('warning', 'videos with actions have no training window'),
    'class-missing': ('warning', 'classes have no action in a subset'),
    'extra-video': ('warning', 'videos have no annotation'),
}
"""Severity and title of all kinds of findings, errors first. With an error, training
would fail or learn something wrong; with a warning it works."""


class Findings(list):
    """A list of :class:`~mmtal_mts.structures.annotations.Finding`."""

    def of(self, kind: str) -> list[Finding]:
        """Returns those of one kind, the worst first."""
        found = [finding for finding in self if finding.kind == kind]
        return sorted(found, key=lambda finding: -finding.weight)

    @property
    def num_errors(self) -> int:
        """How many make training unsafe."""
        return sum(KINDS[finding.kind][0] == 'error' for finding in self)

    @property
    def num_warnings(self) -> int:
        """How many do not."""
        return len(self) - self.num_errors

    def counts(self) -> dict[str, int]:
        """Returns the number of each kind that occurs, errors first."""
        found = Counter(finding.kind for finding in self)
        return {kind: found[kind] for kind in KINDS if found[kind]}

    def add(
        self,
        kind: str,
        video_id: str | None,
        message: str,
        index: int | None = None,
        group: str = '',
        weight: float = 0.0,
    ) -> None:
        """Appends a finding."""
        self.append(Finding(kind, video_id, index, message, group, weight))


@dataclass
class CheckReport:
    """Result of a check.

    Attributes:
        findings: Everything that is wrong.
        videos: The usable part of each video.
        classes: Class names.
        per_class: Actions by subset and class.
        coverage: What windows and pyramid see.
        settings: What was checked against.
    """

    findings: Findings
    videos: list[CheckedVideo]
    classes: Sequence[str]
    per_class: dict[str, Counter[str]]
    coverage: Coverage
    settings: CheckSettings

    @property
    def is_safe(self) -> bool:
        """Whether training on this file is safe."""
        return not self.findings.num_errors

    def length_bins(self) -> list[dict[str, Any]]:
        """Sorts the actions by length, in powers of two of sampled frames.

        Returns:
            Per bin ``from_f``, ``to_f``, ``actions``, ``share``, ``in_window`` (actions
            in a kept window) and for those ``no_location``, ``assigned_median`` and per
            level ``inside_median``.
        """
        coverage = self.coverage
        # The window is a boundary of its own: longer actions never fit.
        limit = float(self.settings.windows.clip_len)
        edges = sorted({0.0, *(2.0**k for k in range(1, 14)), limit, np.inf})
        bins = []
        for low, high in zip(edges, edges[1:], strict=False):
            # Half open from below: an action as long as the window fits.
            chosen = (coverage.lengths_f > low) & (coverage.lengths_f <= high)
            seen = chosen & (coverage.num_windows > 0)
            if not chosen.any():
                continue
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
        windows = asdict(self.settings.windows)
        return {
            'safe': self.is_safe,
            'errors': self.findings.num_errors,
            'warnings': self.findings.num_warnings,
            'counts': self.findings.counts(),
            'videos': len(self.videos),
            'annotations': sum(video.num_annotations for video in self.videos),
            'usable_actions': sum(len(video.labels) for video in self.videos),
            'classes': {
                name: {subset: found[name] for subset, found in self.per_class.items()}
                for name in self.classes
            },
            'windows': {**windows, 'kept': self.coverage.kept_windows},
            'lengths': self.length_bins(),
            'findings': [asdict(finding) for finding in self.findings],
        }


def describe_check(report: CheckReport) -> str:
    """Describes the result of a check.

    Args:
        report: From :func:`.check_annotations`.

    Returns:
        Lines for a person.
    """
    findings = report.findings
    verdict = f'NOT safe to train on: {findings.num_errors:,} errors, '
    if report.is_safe:
        verdict = 'safe to train on: no errors, '
    lines = [
        *_overview(report),
        '',
        describe_findings(findings),
        '',
        *_classes(report),
        '',
        *_windows(report),
        '',
        *_lengths(report),
        '',
        f'{verdict}{findings.num_warnings:,} warnings',
    ]
    return '\n'.join(lines)


def describe_findings(findings: Findings) -> str:
    """Describes what is wrong.

    Args:
        findings: Of a check.

    Returns:
        Lines: each kind of problem with its number and some examples.
    """
    lines, indent = [], ' ' * 15
    for kind, count in findings.counts().items():
        severity, title = KINDS[kind]
        lines.append(f'{severity:8s}{count:6,} {title} ({kind})')
        found = findings.of(kind)
        groups = Counter(finding.group for finding in found if finding.group)
        if groups:
            lines.append(indent + _most_common(groups))
        videos = Counter(f.video_id for f in found if f.index is not None)
        if count > _MAX_SHOWN and videos:
            text = f'in {len(videos):,} videos: {_most_common(videos)}'
            lines.append(indent + text)
        lines += [indent + finding.message for finding in found[:_MAX_SHOWN]]
        if count > _MAX_SHOWN:
            rest = count - _MAX_SHOWN
            lines.append(f'{indent}... and {rest:,} more (--json has all)')
    return '\n'.join(lines) or 'nothing is wrong'


def _most_common(counts: Counter[Any]) -> str:
    common = counts.most_common(_MAX_SHOWN)
    more = ', ...' * (len(counts) > _MAX_SHOWN)
    return ', '.join(f'{name} {count:,}' for name, count in common) + more


def _overview(report: CheckReport) -> Iterator[str]:
    usable = sum(len(video.labels) for video in report.videos)
    total = sum(video.num_annotations for video in report.videos)
    yield (
        f'{len(report.videos):,} videos, {total:,} annotations ({usable:,} usable), '
        f'{len(report.classes)} classes'
    )
    for subset, found in report.per_class.items():
        chosen = [video for video in report.videos if video.subset == subset]
        empty = sum(not video.labels for video in chosen)
        yield (
            f'  {subset or "(no subset)"}: {found.total():,} actions in '
            f'{len(chosen):,} videos, {empty:,} of them without any'
        )


def _classes(report: CheckReport) -> Iterator[str]:
    yield 'actions per class'
    total: Counter[str] = sum(report.per_class.values(), Counter())
    shown = sorted(report.classes, key=lambda name: -total[name])
    hidden = len(shown) - _MAX_CLASSES // 2 * 2
    if len(shown) > _MAX_CLASSES:
        shown[_MAX_CLASSES // 2 : -(_MAX_CLASSES // 2)] = ['']
    width = max(map(len, shown), default=0)
    titles = (subset or '(no subset)' for subset in report.per_class)
    yield '  ' + ' ' * width + ''.join(f'{title:>12s}' for title in titles)
    for name in shown:
        if not name:
            yield f'  ... {hidden:,} classes in between (--json)'
            continue
        numbers = (f'{found[name]:12,}' for found in report.per_class.values())
        yield f'  {name:{width}s}' + ''.join(numbers)


def _windows(report: CheckReport) -> Iterator[str]:
    windows, coverage = report.settings.windows, report.coverage
    rate = f'at {windows.sample_fps:g} fps, stride {windows.stride}'
    if windows.frames_per_video is not None:
        rate = f'for the {windows.frames_per_video} frames sampled of a video'
    counting = ', as AFSD counts them' * windows.one_based_window
    yield f'training windows: {windows.clip_len} frames {rate}{counting}'
    subsets = np.array(coverage.subsets)
    for subset, kept in coverage.kept_windows.items():
        chosen = [video for video in report.videos if video.subset == subset]
        total = sum(video.num_annotations for video in chosen)
        unusable = total - sum(len(video.labels) for video in chosen)
        unseen = int((coverage.num_windows[subsets == subset] == 0).sum())
        if total:
            reason = f', {unusable:,} of them because they are unusable'
            yield (
                f'  {subset or "(no subset)"}: {kept:,} windows kept; '
                f'{unseen + unusable:,} of {total:,} annotations are in none'
                + reason
                * bool(unusable)
            )


def _lengths(report: CheckReport) -> Iterator[str]:
    windows, coverage = report.settings.windows, report.coverage
    strides = (windows.clip_len / length for length in windows.level_lengths)
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
    if len(coverage.lengths_f):
        in_window = coverage.num_windows > 0
        unseen = 1 - in_window.mean()
        nowhere = (in_window & (coverage.num_inside.sum(axis=1) == 0)).mean()
        yield (
            f'  no level can represent {nowhere + unseen:.2%} of the actions: '
            f'{unseen:.2%} fit no window, {nowhere:.2%} are between the locations'
        )
