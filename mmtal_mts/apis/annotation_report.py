"""What a check of annotations found, as text, as JSON and as a picture."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
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
    'duplicate': 'actions appear twice',
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
            ``annotations``, usable ones (``actions``) and kept ``windows`` they have.
        actions: Table of the usable actions: ``video_id``, ``subset``, ``position`` in
            "annotations", ``label``, ``times`` (start and end in seconds as they stand
            there), ``text`` for messages, ``length_f`` in complete sampling intervals,
            ``windows`` that are annotated with it and, in the one where they are most,
            locations that are trained on it (``assigned``), and that are inside it on
            each level and in total (``inside``). ``problem`` is 'uncovered',
            'no-location', 'shadowed' or ''. What needs a duration that is not known is
            NaN.
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

    def describe(self) -> str:
        """Describes the check in lines for a person."""
        verdict = 'safe to train on: no errors, '
        if not self.is_safe:
            verdict = f'NOT safe to train on: {self.num_errors:,} errors, '
        parts = (
            self._describe_videos(),
            self.describe_findings(),
            f'actions per class\n{self._describe_classes()}',
            'length of the actions, and locations of the pyramid inside (medians)\n'
            + self._describe_lengths(),
            f'{verdict}{len(self.findings) - self.num_errors:,} warnings',
        )
        return '\n\n'.join(parts)

    def describe_findings(self) -> str:
        """Describes each kind of problem by its number and some examples."""
        lines = []
        for kind, count in self.counts().items():
            severity = 'error' if kind in ERRORS else 'warning'
            title = {**ERRORS, **WARNINGS}[kind]
            lines.append(f'{severity:8s}{count:6,} {title} ({kind})')
            found, more = self.of(kind), []
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

    def _describe_videos(self) -> str:
        windows, videos = self.windows, self.videos
        rate = f'at {windows.sample_fps:g} fps, stride {windows.stride}'
        if windows.frames_per_video is not None:
            rate = f'for the {windows.frames_per_video} frames sampled of a video'
        counting = ', as AFSD counts them' * windows.one_based_window
        lines = [
            f'{len(videos):,} videos, {videos.annotations.sum():,} annotations '
            f'({len(self.actions):,} usable), {len(self.classes)} classes',
            f'training windows: {windows.clip_len} frames {rate}{counting}',
        ]
        uncovered = self.actions.subset[self.actions.problem == 'uncovered']
        for subset, chosen in videos.groupby('subset', sort=False):
            total, usable = chosen.annotations.sum(), chosen.actions.sum()
            lines.append(
                f'  {subset or "(no subset)"}: {usable:,} actions in {len(chosen):,} '
                f'videos, {(chosen.actions == 0).sum():,} of them without any'
            )
            unusable = total - usable
            reason = f', {unusable:,} of them because they are unusable'
            if total and chosen.windows.notna().any():
                lines.append(
                    f'    {chosen.windows.sum():,.0f} windows kept; '
                    f'{(uncovered == subset).sum() + unusable:,} of {total:,} '
                    f'annotations are in none{reason * bool(unusable)}'
                )
        return '\n'.join(lines)

    def _describe_classes(self) -> str:
        table = self.per_class
        total = table.sum(axis=1).sort_values(ascending=False, kind='stable')
        cells = table.loc[total.index].map('{:,}'.format).reset_index()
        rows = cells.to_numpy().tolist()
        half = _MAX_CLASSES // 2
        if len(rows) > _MAX_CLASSES:
            note = f'... {len(rows) - 2 * half:,} classes in between (--json)'
            rows[half:-half] = [[note, *([''] * len(table.columns))]]
        return _table([['', *(subset or '(no subset)' for subset in table)], *rows])

    def _describe_lengths(self) -> str:
        titles = 'sampled frames', 'actions', 'share', 'in window', 'nowhere', 'trained'
        rows = [[*titles, *self.windows.level_names]]
        for row in self.per_length.itertuples(index=False, name=None):
            low, high, count, share, in_window, nowhere, *medians = row
            limit = '' if np.isinf(high) else f'{high:g}'
            rows.append([f'{low:g} - {limit}', f'{count:,}', f'{share:.1%}'])
            seen = [f'{nowhere:,}', *map('{:g}'.format, medians)]
            rows[-1] += [f'{in_window:,}', *(seen if in_window else [''] * len(seen))]
        text = _table(rows)
        problem = self.actions.dropna(subset='length_f').problem
        if len(problem):
            unseen = (problem == 'uncovered').mean()
            nowhere = (problem == 'no-location').mean()
            text += (
                f'\n  no level can represent {nowhere + unseen:.2%} of the actions: '
                f'{unseen:.2%} fit no window, {nowhere:.2%} are between the locations'
            )
        return text

    def draw(self, path: str, title: str) -> None:
        """Draws how long actions are, and how many a video has.

        Args:
            path: PNG file to write.
            title: Of the picture.

        Raises:
            UserError: There is no action to draw.
        """
        actions = self.actions[self.actions.length_f > 0]
        if not len(actions):
            raise UserError(f'{title}: there is no action to draw (--plot)')
        lengths, counts = actions.length_f, self.videos.actions
        clip_len = self.windows.clip_len
        low, high = min(lengths.min(), 1.0), max(lengths.max(), clip_len * 1.3)
        # A few crowded videos would squeeze all others into the first bar.
        most = max(int(counts.quantile(0.99)), 10)
        step = math.ceil(most / 40)
        steps = np.arange(0, most + 2 * step, step)
        longer = f'{(lengths > clip_len).mean():.1%} longer than the window (dashed)'
        median = f'median {counts.median():g}, most {counts.max():g}'
        figure = Figure(figsize=(14, 5.2), dpi=100, layout='constrained')
        figure.suptitle(title, x=0.01, ha='left', parse_math=False)
        left, right = figure.subplots(1, 2)
        names = self.videos.subset.unique()
        for axes, subsets, values, bins, text in (
            (left, actions.subset, lengths, np.geomspace(low, high, 45), longer),
            (right, self.videos.subset, counts.clip(upper=most), steps, median),
        ):
            parts = [values[subsets == name] for name in names]
            labels = [name or '(no subset)' for name in names]
            axes.hist(parts, bins, stacked=True, label=labels, rwidth=0.92)
            axes.set_title(text)
        for stride in self.windows.level_strides:
            left.axvline(stride, color='#d8dee4', zorder=0)
        left.axvline(clip_len, color='black', linestyle='--')
        left.set(xscale='log', xlabel='sampled frames', ylabel='actions')
        right.set(xlabel=f'actions in a video, up to {most} or more', ylabel='videos')
        right.legend(frameon=False)
        with atomic_write(path) as temporary:
            figure.savefig(temporary, format='png')


def _most_common(counts: Counter[Any]) -> str:
    common = counts.most_common(_MAX_SHOWN)
    more = ', ...' * (len(counts) > _MAX_SHOWN)
    return ', '.join(f'{name} {count:,}' for name, count in common) + more


def _table(rows: Sequence[Sequence[str]]) -> str:
    """Aligns cells: the first column to the left, all others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for first, *cells in rows:
        right = map(str.rjust, cells, widths[1:])
        lines.append('  '.join(['  ' + first.ljust(widths[0]), *right]).rstrip())
    return '\n'.join(lines)
