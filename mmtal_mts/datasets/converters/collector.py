"""Collects converted annotations and keeps account of every one of them."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .class_names import ClassNames
from .values import parse_positive, parse_seconds
from .video_facts import VideoFacts

AMBIGUOUS = 'Ambiguous'
"""THUMOS14's label for segments that are neither action nor background."""

_THUMOS14_ID = re.compile(r'video_(validation|test)_\d{7}')
_SUBSETS = {
    'train': 'training',
    'val': 'validation',
    'valid': 'validation',
    'testing': 'test',
}


@dataclass(frozen=True)
class ConvertOptions:
    """What a person may say besides the files.

    Attributes:
        subset: Subset of all videos.
        durations: Facts by video id; they win over the annotation file's own.
        keep_ambiguous: Keep THUMOS14's segments labelled 'Ambiguous'.
        fps: Frame rate of videos that are annotated in frames.
        classes: Class list.
        label_field: Which of several things an annotation says is the class.
        select: Names of the tiers, observations or attributes to take.
    """

    subset: str | None = None
    durations: Mapping[str, VideoFacts] = field(default_factory=dict)
    keep_ambiguous: bool = False
    fps: float | None = None
    classes: ClassNames | None = None
    label_field: str | None = None
    select: tuple[str, ...] = ()


class Collector:
    """Builds a native database; what it does not take is counted by reason.

    Args:
        options: What a person said.

    Attributes:
        options: As given.
        database: Entries of the native format by video id.
        dropped: Places by the reason why an annotation was not taken.
        removed_videos: Videos that are left out, and why.
        notes: What else a person should know.
        classes: Names in the order of the source, if it has one.
    """

    def __init__(self, options: ConvertOptions) -> None:
        self.options = options
        self.database: dict[str, dict[str, Any]] = {}
        self.dropped: dict[str, list[str]] = defaultdict(list)
        self.removed_videos: dict[str, str] = {}
        self.notes: list[str] = []
        self.classes: Sequence[str] | None = None
        self._renamed: Counter[tuple[str, str]] = Counter()
        self._contradictions: dict[str, list[str]] = defaultdict(list)
        self._touched: set[str] = set()

    def note(self, text: str) -> None:
        """Adds a note, once."""
        if text not in self.notes:
            self.notes.append(text)

    def drop(self, reason: str, where: str, video_id: str | None = None) -> None:
        """Counts an annotation that is not taken.

        Args:
            reason: The same words for the same reason.
            where: File and place.
            video_id: Its video, if that is known.
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
            video_id: Taken as it is.
            subset: Name of the subset, any spelling.
            duration: Seconds.
            fps: Frame rate.
            file: File name.
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
        label: Any,
        where: str,
        frames: Sequence[Any] | None = None,
    ) -> None:
        """Adds an action, or counts why not.

        An impossible segment (end before start, out of the video) is taken: finding
        those is up to the checker.

        Args:
            video_id: Its video, which need not have been added.
            start: Seconds, number or text.
            end: Seconds, number or text.
            label: Class name.
            where: File and place.
            frames: Start and end in frames, if the source has them besides the
                seconds. Kept for the checker.
        """
        segment = [parse_seconds(start), parse_seconds(end)]
        if None in segment:
            self.drop('start or end is not a time', where, video_id)
        elif not isinstance(label, str) or not label.strip():
            self.drop('no label', where, video_id)
        elif label == AMBIGUOUS and not self.options.keep_ambiguous:
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
        for key, remedy in (
            ('subset', '--subset NAME'),
            ('duration', '--durations PATH'),
        ):
            count = sum(key not in entry for entry in self.database.values())
            if count:
                self.note(f'{count} videos have no "{key}"; {remedy} adds it')

    def _subset_name(self, video_id: str, subset: Any) -> str | None:
        """The project's name of a subset."""
        if self.options.subset is not None:
            return self.options.subset
        match = _THUMOS14_ID.fullmatch(video_id)
        if not isinstance(subset, str) or not subset:
            return match[1] if match else None
        # THUMOS14 is trained on its validation set, which some therefore call so.
        name = match[1] if match else _SUBSETS.get(subset.lower(), subset.lower())
        if name != subset and 'subset' not in self.database[video_id]:
            self._renamed[subset, name] += 1
        return name
