"""What a check of annotations found, as text, as JSON and as a picture."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from ..structures.annotations import Finding
from ..utils.errors import UserError
from ..utils.io import atomic_write

if TYPE_CHECKING:
    from .annotation_check import WindowSettings

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


@dataclass
class CheckReport:
    """Result of a check.

    Attributes:
        findings: Everything that is wrong.
        classes: Class names.
        windows: What was checked against.
        videos: Table of the videos: ``video_id``, ``subset``, and how many
            ``annotations``, usable ones (``actions``) and kept ``windows`` they have;
            without a duration the windows are NaN.
        actions: Table of the usable actions: ``video_id``, ``subset``, ``position`` in
            "annotations", ``label``, ``times`` (start and end in seconds as they stand
            there) and ``text`` for messages. ``length`` and ``length_f`` are in sampled
            frames, the latter without the last, incomplete sampling interval. Then
            follows how many kept ``windows`` are annotated with it and, in the window
            where they are most, how many locations are trained on it (``assigned``),
            and are inside it on each level (by its name) and in total (``inside``).
            Without a duration, these and ``length_f`` are NaN. ``problem`` is
            'uncovered', 'no-location', 'shadowed' or ''.
    """

    findings: list[Finding]
    classes: Sequence[str]
    windows: WindowSettings
    videos: pd.DataFrame
    actions: pd.DataFrame

    @property
    def num_errors(self) -> int:
        """Number of findings that make training unsafe."""
        return sum(finding.kind in ERRORS for finding in self.findings)

    @property
    def is_safe(self) -> bool:
        """Whether training on this file is safe."""
        return not self.num_errors

    def counts(self) -> dict[str, int]:
        """Returns the number of each kind of finding that occurs, errors first."""
        found = Counter(finding.kind for finding in self.findings)
        return {kind: found[kind] for kind in (*ERRORS, *WARNINGS) if found[kind]}

    def of(self, kind: str) -> list[Finding]:
        """Returns the findings of one kind, the worst first."""
        found = [finding for finding in self.findings if finding.kind == kind]
        return sorted(found, key=lambda finding: -finding.weight)

    @property
    def per_class(self) -> pd.DataFrame:
        """Number of actions by class (rows) and subset (columns)."""
        table = pd.crosstab(self.actions.label, self.actions.subset)
        subsets = self.videos.subset.unique()
        return table.reindex(index=self.classes, columns=subsets, fill_value=0)

    @property
    def per_length(self) -> pd.DataFrame:
        """Actions by length in powers of two of sampled frames, ``from_f`` to ``to_f``.

        Of all ``actions``, those ``in_window`` are in a kept window, and of these
        ``nowhere`` lie between the locations; ``assigned`` and the names of the levels
        are medians of the locations of actions in a window.
        """
        # The window is a boundary of its own: longer actions never fit. Half open from
        # below: an action as long as the window fits.
        limit = float(self.windows.clip_len)
        edges = np.array(sorted({0.0, *(2.0**k for k in range(1, 14)), limit, np.inf}))
        actions = self.actions.dropna(subset='length_f')
        size = np.searchsorted(edges, actions.length_f) - 1
        seen, nowhere = actions.problem != 'uncovered', actions.problem == 'no-location'
        counts = pd.DataFrame({'actions': 1, 'in_window': seen, 'nowhere': nowhere})
        medians = actions[['assigned', *self.windows.level_names]].where(seen)
        table = counts.groupby(size).sum().join(medians.groupby(size).median()).loc[0:]
        table.insert(0, 'from_f', edges[table.index])
        table.insert(1, 'to_f', edges[table.index + 1])
        table.insert(3, 'share', table.actions / len(actions))
        return table

    def to_json(self) -> dict[str, Any]:
        """Returns everything as a JSON object."""
        kept = self.videos.dropna().groupby('subset', sort=False).windows.sum()
        lengths = self.per_length.astype(object).replace([np.nan, np.inf], None)
        return {
            'safe': self.is_safe,
            'errors': self.num_errors,
            'warnings': len(self.findings) - self.num_errors,
            'counts': self.counts(),
            'videos': len(self.videos),
            'annotations': int(self.videos.annotations.sum()),
            'usable_actions': len(self.actions),
            'classes': self.per_class.to_dict('index'),
            'windows': {**asdict(self.windows), 'kept': kept.astype(int).to_dict()},
            'lengths': lengths.to_dict('records'),
            'findings': [asdict(finding) for finding in self.findings],
        }


def describe_check(report: CheckReport) -> str:
    """Describes the result of a check.

    Args:
        report: From :func:`.check_annotations`.

    Returns:
        Lines for a person.
    """
    verdict = f'NOT safe to train on: {report.num_errors:,} errors, '
    if report.is_safe:
        verdict = 'safe to train on: no errors, '
    parts = (
        '\n'.join(_videos_and_windows(report)),
        describe_findings(report),
        'actions per class\n' + _classes(report.per_class),
        'length of the actions, and locations of the pyramid inside (medians)\n'
        + _lengths(report),
        f'{verdict}{len(report.findings) - report.num_errors:,} warnings',
    )
    return '\n\n'.join(parts)


def describe_findings(report: CheckReport) -> str:
    """Describes what is wrong.

    Args:
        report: From :func:`.check_annotations`.

    Returns:
        Lines: each kind of problem with its number and some examples.
    """
    lines = []
    for kind, count in report.counts().items():
        severity = 'error' if kind in ERRORS else 'warning'
        title = {**ERRORS, **WARNINGS}[kind]
        lines.append(f'{severity:8s}{count:6,} {title} ({kind})')
        found, more = report.of(kind), []
        groups = Counter(finding.group for finding in found if finding.group)
        if groups:
            more.append(_most_common(groups))
        videos = Counter(f.video_id for f in found if f.index is not None)
        if count > _MAX_SHOWN and videos:
            more.append(f'in {len(videos):,} videos: {_most_common(videos)}')
        more += [finding.message for finding in found[:_MAX_SHOWN]]
        if count > _MAX_SHOWN:
            more.append(f'... and {count - _MAX_SHOWN:,} more (--json has all)')
        lines += [' ' * 15 + line for line in more]
    return '\n'.join(lines) or 'nothing is wrong'


def _most_common(counts: Counter[Any]) -> str:
    common = counts.most_common(_MAX_SHOWN)
    more = ', ...' * (len(counts) > _MAX_SHOWN)
    return ', '.join(f'{name} {count:,}' for name, count in common) + more


def _videos_and_windows(report: CheckReport) -> Iterator[str]:
    windows, videos = report.windows, report.videos
    yield (
        f'{len(videos):,} videos, {videos.annotations.sum():,} annotations '
        f'({len(report.actions):,} usable), {len(report.classes)} classes'
    )
    rate = f'at {windows.sample_fps:g} fps, stride {windows.stride}'
    if windows.frames_per_video is not None:
        rate = f'for the {windows.frames_per_video} frames sampled of a video'
    counting = ', as AFSD counts them' * windows.one_based_window
    yield f'training windows: {windows.clip_len} frames {rate}{counting}'
    uncovered = report.actions[report.actions.problem == 'uncovered']
    for subset, chosen in videos.groupby('subset', sort=False):
        total, usable = chosen.annotations.sum(), chosen.actions.sum()
        yield (
            f'  {subset or "(no subset)"}: {usable:,} actions in {len(chosen):,} '
            f'videos, {(chosen.actions == 0).sum():,} of them without any'
        )
        if total and chosen.windows.notna().any():
            unusable = total - usable
            unseen = (uncovered.subset == subset).sum() + unusable
            reason = f', {unusable:,} of them because they are unusable'
            yield (
                f'    {chosen.windows.sum():,.0f} windows kept; {unseen:,} of '
                f'{total:,} annotations are in none{reason * bool(unusable)}'
            )


def _table(rows: Sequence[Sequence[str]]) -> str:
    """Aligns cells: the first column to the left, all others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for first, *cells in rows:
        right = map(str.rjust, cells, widths[1:])
        lines.append('  '.join(['  ' + first.ljust(widths[0]), *right]).rstrip())
    return '\n'.join(lines)


def _classes(table: pd.DataFrame) -> str:
    table = table.loc[
        table.sum(axis=1).sort_values(ascending=False, kind='stable').index
    ]
    rows = [[row[0], *map('{:,}'.format, row[1:])] for row in table.itertuples()]
    half = _MAX_CLASSES // 2
    if len(rows) > _MAX_CLASSES:
        note = f'... {len(rows) - 2 * half:,} classes in between (--json)'
        rows[half:-half] = [[note, *([''] * len(table.columns))]]
    return _table([['', *(subset or '(no subset)' for subset in table)], *rows])


def _lengths(report: CheckReport) -> str:
    titles = 'actions', 'share', 'in window', 'nowhere', 'trained'
    rows = [['sampled frames', *titles, *report.windows.level_names]]
    for (
        low,
        high,
        count,
        share,
        in_window,
        nowhere,
        *medians,
    ) in report.per_length.itertuples(index=False, name=None):
        limit = '' if np.isinf(high) else f'{high:g}'
        cells = [f'{low:g} - {limit}', f'{count:,}', f'{share:.1%}', f'{in_window:,}']
        seen = [f'{nowhere:,}', *map('{:g}'.format, medians)]
        rows.append(cells + (seen if in_window else [''] * len(seen)))
    text = _table(rows)
    problem = report.actions.dropna(subset='length_f').problem
    if len(problem):
        unseen = (problem == 'uncovered').mean()
        nowhere = (problem == 'no-location').mean()
        text += (
            f'\n  no level can represent {nowhere + unseen:.2%} of the actions: '
            f'{unseen:.2%} fit no window, {nowhere:.2%} are between the locations'
        )
    return text


def draw_statistics(path: str, report: CheckReport, title: str) -> None:
    """Draws how long actions are, and how many a video has, into a PNG file.

    Args:
        path: PNG file to write.
        report: Of a check.
        title: Of the picture.

    Raises:
        UserError: There is no action to draw.
    """
    videos, clip_len = report.videos, report.windows.clip_len
    actions = report.actions[report.actions.length_f > 0]
    if not len(actions):
        raise UserError(f'{title}: there is no action to draw (--plot)')
    figure = Figure(figsize=(14, 5.2), dpi=100, layout='constrained')
    figure.suptitle(title, x=0.01, ha='left', parse_math=False)
    left, right = figure.subplots(1, 2)
    lengths, counts = actions.length_f, videos.actions
    low, high = min(lengths.min(), 1.0), max(lengths.max(), clip_len * 1.3)
    # A few crowded videos would squeeze all others into the first bar.
    limit = max(counts.quantile(0.99), 10.0)
    step = max(math.ceil(limit / 40), 1)
    steps = np.arange(0, limit + 2 * step, step) - 0.5
    names = videos.subset.unique()
    for axes, table, values, bins in (
        (left, actions, lengths, np.geomspace(low * 0.95, high * 1.05, 45)),
        (right, videos, counts.clip(upper=steps[-1] - step / 2), steps),
    ):
        parts = [values[table.subset == name] for name in names]
        labels = [name or '(no subset)' for name in names]
        axes.hist(parts, bins, stacked=True, label=labels, rwidth=0.92)
    left.set(xscale='log', xlabel='sampled frames', ylabel='actions')
    left.xaxis.set_major_formatter(lambda value, _: f'{value:g}')
    for name in report.windows.level_names:
        left.axvline(float(name[1:]), color='#d8dee4', zorder=0)
    left.axvline(clip_len, color='black', linestyle='--')
    left.set_title(
        f'Length of the actions, {(lengths > clip_len).mean():.1%} longer than the\n'
        f'window of {clip_len} frames (grey: distance of the locations of each level)',
        fontsize=10,
    )
    text = f'Actions per video, median {counts.median():g}, most {counts.max():g}'
    beyond = (counts > steps[-1]).sum()
    if beyond:
        text += f' (last bar: {beyond} videos with {int(steps[-2] + 1)} or more)'
    right.set_title(text, fontsize=10)
    right.set(xlabel='actions in a video', ylabel='videos')
    right.legend(frameon=False)
    with atomic_write(path) as temporary:
        figure.savefig(temporary, format='png')
