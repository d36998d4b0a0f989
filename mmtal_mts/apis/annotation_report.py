"""What a check of annotations found, for a person and for a program."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..structures.annotations import Finding

if TYPE_CHECKING:
    from .annotation_check import CheckedVideo, CheckSettings, Coverage

_MAX_SHOWN = 4
_MAX_CLASSES = 25

# Titles of all kinds of findings. With an error, training would fail or learn something
# wrong; with a warning it works.
ERRORS = {
    'duplicate-key': 'keys stand more than once in the same object',
    'malformed': 'entries are malformed',
    'unknown-label': 'actions have a label that is not a class',
    'not-positive': 'actions end before or when they start',
    'before-start': 'actions start before the video',
    'outside': 'actions lie wholly outside the video',
    'beyond-end': 'actions end after the end of the video',
    'no-duration': 'videos have no "duration"',
    'missing-video': 'videos are missing',
    'unreadable-video': 'videos cannot be read',
    'duration-mismatch': 'durations contradict the videos',
    'frame-count': 'videos do not have the number of frames extracted',
    'stream-mismatch': 'videos differ in length between two folders',
}
WARNINGS = {
    'duplicate': 'actions stand there twice',
    'double-label': 'actions have the segment of another class',
    'too-short': 'actions are shorter than two sampled frames',
    'fps-contradiction': 'videos have frame columns that contradict their seconds',
    # Frames are picked by the file's own rate; but who wrote the seconds may not have.
    'fps-mismatch': 'frame rates contradict the videos',
    'uncovered': 'actions are in no kept training window',
    'no-location': 'actions are between the locations of all levels',
    'shadowed': 'actions lose all their locations to others at the same time',
    'no-window': 'videos with actions have no training window',
    'class-missing': 'classes have no action in a subset',
    'extra-video': 'videos have no annotation',
}


class Findings(list):
    """A list of :class:`~mmtal_mts.structures.annotations.Finding`."""

    def of(self, kind: str) -> list[Finding]:
        """Returns those of one kind, the worst first."""
        found = [finding for finding in self if finding.kind == kind]
        return sorted(found, key=lambda finding: -finding.weight)

    @property
    def num_errors(self) -> int:
        """How many make training unsafe."""
        return sum(finding.kind in ERRORS for finding in self)

    @property
    def num_warnings(self) -> int:
        """How many do not."""
        return len(self) - self.num_errors

    def counts(self) -> dict[str, int]:
        """Returns the number of each kind that occurs, errors first."""
        found = Counter(finding.kind for finding in self)
        return {kind: found[kind] for kind in (*ERRORS, *WARNINGS) if found[kind]}

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
    parts = (
        '\n'.join(_videos_and_windows(report)),
        describe_findings(findings),
        'actions per class\n' + _classes(report),
        'length of the actions, and locations of the pyramid inside (medians)\n'
        + _lengths(report),
        f'{verdict}{findings.num_warnings:,} warnings',
    )
    return '\n\n'.join(parts)


def describe_findings(findings: Findings) -> str:
    """Describes what is wrong.

    Args:
        findings: Of a check.

    Returns:
        Lines: each kind of problem with its number and some examples.
    """
    lines, indent = [], ' ' * 15
    for kind, count in findings.counts().items():
        severity = 'error' if kind in ERRORS else 'warning'
        title = {**ERRORS, **WARNINGS}[kind]
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


def _videos_and_windows(report: CheckReport) -> Iterator[str]:
    windows, coverage = report.settings.windows, report.coverage
    total = sum(video.num_annotations for video in report.videos)
    usable = sum(len(video.labels) for video in report.videos)
    yield (
        f'{len(report.videos):,} videos, {total:,} annotations ({usable:,} usable), '
        f'{len(report.classes)} classes'
    )
    rate = f'at {windows.sample_fps:g} fps, stride {windows.stride}'
    if windows.frames_per_video is not None:
        rate = f'for the {windows.frames_per_video} frames sampled of a video'
    counting = ', as AFSD counts them' * windows.one_based_window
    yield f'training windows: {windows.clip_len} frames {rate}{counting}'
    subsets = np.array(coverage.subsets)
    for subset, found in report.per_class.items():
        chosen = [video for video in report.videos if video.subset == subset]
        empty = sum(not video.labels for video in chosen)
        yield (
            f'  {subset or "(no subset)"}: {found.total():,} actions in '
            f'{len(chosen):,} videos, {empty:,} of them without any'
        )
        total = sum(video.num_annotations for video in chosen)
        kept = coverage.kept_windows.get(subset)
        if total and kept is not None:
            unusable = total - found.total()
            unseen = int((coverage.num_windows[subsets == subset] == 0).sum())
            reason = f', {unusable:,} of them because they are unusable'
            yield (
                f'    {kept:,} windows kept; {unseen + unusable:,} of {total:,} '
                f'annotations are in none{reason * bool(unusable)}'
            )


def _table(rows: Sequence[Sequence[str]]) -> str:
    """Aligns cells: the first column to the left, all others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for first, *cells in rows:
        right = map(str.rjust, cells, widths[1:])
        lines.append('  '.join(['  ' + first.ljust(widths[0]), *right]).rstrip())
    return '\n'.join(lines)


def _classes(report: CheckReport) -> str:
    found = report.per_class
    rows = [['', *(subset or '(no subset)' for subset in found)]]
    total: Counter[str] = sum(found.values(), Counter())
    shown = sorted(report.classes, key=lambda name: -total[name])
    rows += [[name, *(f'{found[s][name]:,}' for s in found)] for name in shown]
    half, hidden = _MAX_CLASSES // 2, len(shown) - _MAX_CLASSES // 2 * 2
    if len(shown) > _MAX_CLASSES:
        note = f'... {hidden:,} classes in between (--json)'
        rows[half + 1 : -half] = [[note, *([''] * len(found))]]
    return _table(rows)


def _lengths(report: CheckReport) -> str:
    windows, coverage = report.settings.windows, report.coverage
    strides = [f's{windows.clip_len / length:g}' for length in windows.level_lengths]
    titles = 'actions', 'share', 'in window', 'nowhere', 'trained'
    rows = [['sampled frames', *titles, *strides]]
    for entry in report.length_bins():
        high = '' if entry['to_f'] is None else f'{entry["to_f"]:g}'
        cells = [''] * (2 + len(strides))
        if entry['in_window']:
            medians = (f'{value:g}' for value in entry['inside_median'])
            trained = f'{entry["assigned_median"]:g}'
            cells = [f'{entry["no_location"]:,}', trained, *medians]
        limits, share = f'{entry["from_f"]:g} - {high}', f'{entry["share"]:.1%}'
        actions, in_window = f'{entry["actions"]:,}', f'{entry["in_window"]:,}'
        rows.append([limits, actions, share, in_window, *cells])
    text = _table(rows)
    if len(coverage.lengths_f):
        in_window = coverage.num_windows > 0
        unseen = 1 - in_window.mean()
        nowhere = (in_window & (coverage.num_inside.sum(axis=1) == 0)).mean()
        text += (
            f'\n  no level can represent {nowhere + unseen:.2%} of the actions: '
            f'{unseen:.2%} fit no window, {nowhere:.2%} are between the locations'
        )
    return text
