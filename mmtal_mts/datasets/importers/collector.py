"""Collects imported annotations and keeps account of every one of them."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any

from .values import parse_positive, parse_seconds

AMBIGUOUS = 'Ambiguous'
"""THUMOS14's label for segments that are neither action nor background."""

_THUMOS14_ID = re.compile(r'video_(validation|test)_\d{7}')
_SUBSETS = {
    'train': 'training',
    'val': 'validation',
    'valid': 'validation',
    'testing': 'test',
}


class AnnotationCollector:
    """Builds a native database; what it does not take is counted by reason.

    Args:
        subset (str, optional): Subset of all videos, whatever the source says.
        keep_ambiguous (bool): Keep THUMOS14's segments labelled 'Ambiguous'.

    Attributes:
        database (dict[str, dict]): Entries of the native format by video id.
        dropped (dict[str, list[str]]): Places by the reason why an annotation was
            not taken.
        removed_videos (dict[str, str]): Videos that are left out, and why.
        notes (list[str]): What else a person should know.
        classes (Sequence[str], optional): Names in the order of the source.
    """

    def __init__(self, subset: str | None = None, keep_ambiguous: bool = False) -> None:
        self.database: dict[str, dict[str, Any]] = {}
        self.dropped: dict[str, list[str]] = defaultdict(list)
        self.removed_videos: dict[str, str] = {}
        self.notes: list[str] = []
        self.classes: Sequence[str] | None = None
        self._subset = subset
        self._keep_ambiguous = keep_ambiguous
        self._renamed: Counter[tuple[str, str]] = Counter()
        self._contradictions: dict[str, list[str]] = defaultdict(list)
        self._touched: set[str] = set()

    @property
    def num_actions(self) -> int:
        """int: Annotations taken so far."""
        return sum(len(entry['annotations']) for entry in self.database.values())

    @property
    def num_dropped(self) -> int:
        """int: Annotations not taken so far."""
        return sum(len(places) for places in self.dropped.values())

    def note(self, text: str) -> None:
        """Tells a person something, once."""
        if text not in self.notes:
            self.notes.append(text)

    def drop(self, reason: str, where: str, video_id: str | None = None) -> None:
        """Counts an annotation that is not taken.

        Args:
            reason (str): The same words for the same reason.
            where (str): File and place.
            video_id (str, optional): Its video, if that is known.
        """
        self.dropped[reason].append(where)
        if video_id is not None:
            self._touched.add(video_id)

    def add_video(
        self,
        video_id: str,
        *,
        subset: Any = None,
        duration: Any = None,
        fps: Any = None,
        file: str | None = None,
    ) -> None:
        """Adds a video, or facts about one that is there; the first value stays.

        Args:
            video_id (str): Taken as it is.
            subset (Any): Name of the subset, any spelling.
            duration (Any): Seconds.
            fps (Any): Frame rate.
            file (str, optional): File name.
        """
        entry = self.database.setdefault(video_id, {'annotations': []})
        facts = {
            'subset': self._subset_name(video_id, subset),
            'duration': parse_positive(duration),
            'fps': parse_positive(fps),
            'file': file,
        }
        for key, value in facts.items():
            if value is None:
                continue
            known = entry.setdefault(key, value)
            if known != value:
                self._contradictions[key].append(f'{video_id} ({known} and {value})')

    def add_action(
        self,
        video_id: str,
        start: Any,
        end: Any,
        label: str,
        where: str,
        frames: Sequence[float] | None = None,
    ) -> None:
        """Adds an action, or counts why not.

        An impossible segment (end before start, out of the video) is taken: finding
        those is up to the checker.

        Args:
            video_id (str): Its video, which need not have been added.
            start (Any): Seconds, number or text.
            end (Any): Seconds, number or text.
            label (str): Class name.
            where (str): File and place.
            frames (Sequence[float], optional): Start and end in frames, if the source
                has them besides the seconds. Kept for the checker.
        """
        segment = [parse_seconds(start), parse_seconds(end)]
        if None in segment:
            self.drop('start or end is not a time', where, video_id)
        elif not isinstance(label, str) or not label.strip():
            self.drop('no label', where, video_id)
        elif label == AMBIGUOUS and not self._keep_ambiguous:
            self.drop(f'labelled {AMBIGUOUS}', where, video_id)
        else:
            self.add_video(video_id)
            action: dict[str, Any] = {'segment': segment, 'label': label}
            if frames is not None:
                action['segment(frames)'] = list(frames)
            self.database[video_id]['annotations'].append(action)

    def finish(self) -> None:
        """Leaves out videos of which nothing is left, and sums up the notes."""
        for video_id in sorted(self._touched):
            entry = self.database.get(video_id)
            if entry is None or not entry['annotations']:
                self.database.pop(video_id, None)
                self.removed_videos[video_id] = 'all its annotations were left out'
        for (old, new), count in self._renamed.items():
            self.note(f'subset {old!r} of {count} videos is written as {new!r}')
        for key, places in self._contradictions.items():
            self.note(
                f'{len(places)} contradicting values of "{key}", the first was kept: '
                + ', '.join(places[:3])
                + (', ...' if len(places) > 3 else '')
            )
        for key in ('subset', 'duration'):
            count = sum(key not in entry for entry in self.database.values())
            if count:
                remedy = '--subset NAME' if key == 'subset' else '--durations PATH'
                self.note(f'{count} videos have no "{key}"; {remedy} adds it')

    def _subset_name(self, video_id: str, subset: Any) -> str | None:
        """Returns the project's name of a subset."""
        if self._subset is not None:
            return self._subset
        if not isinstance(subset, str) or not subset:
            return thumos14_subset(video_id)
        name = _SUBSETS.get(subset.lower(), subset.lower())
        # THUMOS14 is trained on its validation set, which some therefore call so.
        name = thumos14_subset(video_id) or name
        if name != subset and 'subset' not in self.database[video_id]:
            self._renamed[(subset, name)] += 1
        return name


def thumos14_subset(video_id: str) -> str | None:
    """Tells the subset of a THUMOS14 video from its id.

    Args:
        video_id (str): Any id.

    Returns:
        str, optional: 'validation', 'test', or None for other data sets.
    """
    match = _THUMOS14_ID.fullmatch(video_id)
    return match[1] if match else None
