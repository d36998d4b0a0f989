"""The registry of converters, and the account of every annotation they read."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ...utils.errors import UserError
from .facts import ClassNames, VideoFacts
from .source_file import SourceFile
from .values import (
    media_name,
    parse_positive,
    parse_seconds,
    shorten,
    without_extension,
)

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
        """Counts an annotation that is not taken, by the same words for the same."""
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
        """Adds a video, or facts about one that is there; the first value stays."""
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
        """Puts in the given durations, leaves out emptied videos, sums up the notes."""
        self._apply_durations()
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
                + shorten(places)
            )
        for key, remedy in (
            ('subset', '--subset NAME'),
            ('duration', '--durations PATH'),
        ):
            count = sum(key not in entry for entry in self.database.values())
            if count:
                self.note(f'{count} videos have no "{key}"; {remedy} adds it')

    def _apply_durations(self) -> None:
        changed = []
        given = self.options.durations
        for video_id, entry in self.database.items():
            # They are found by file name, which is not always the id.
            stem = without_extension(media_name(entry.get('file', video_id)))
            facts = given.get(video_id, given.get(stem))
            for key in ('duration', 'fps'):
                value = getattr(facts, key, None)
                if value is None:
                    continue
                if key in entry and entry[key] != value:
                    changed.append(f'{video_id} {key} {entry[key]:g} -> {value:g}')
                entry[key] = value
        if changed:
            self.note(
                f'{len(changed)} values were replaced by those of --durations: '
                + shorten(changed)
            )

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


CONVERTERS: dict[str, Converter] = {}
"""All converters by the name of their format."""

Read = Callable[[SourceFile, Collector], None]


@dataclass(frozen=True)
class Converter:
    """Reads the files of one format; as a decorator it registers ``read``.

    Attributes:
        name: What the format is called on the command line.
        summary: One line for a list of formats.
        detect: Whether a file is of this format, so that ``read`` can be expected to
            work.
        label_fields: Choices for ``label_field``, the first is the default; empty if
            the format has no choice.
        uses_fps: Whether it needs a frame rate from a person.
        uses_select: Whether there is something to select.
        read: Hands everything in a file to the collector. It raises a UserError if the
            file is not of this format, or an option is missing.
    """

    name: str
    summary: str
    detect: Callable[[SourceFile], bool]
    label_fields: tuple[str, ...] = ()
    uses_fps: bool = False
    uses_select: bool = False
    read: Read | None = None

    def __call__(self, read: Read) -> Read:
        """Registers the function that reads files of this format."""
        CONVERTERS[self.name] = replace(self, read=read)
        return read

    def accepts(self, source: SourceFile) -> bool:
        """Whether a file is of this format; one that cannot be parsed is not."""
        try:
            return self.detect(source)
        except UserError:
            return False

    def check_options(self, options: ConvertOptions) -> None:
        """Refuses options that this format does not know, by a UserError."""
        unknown = {
            '--fps': options.fps is not None and not self.uses_fps,
            '--select': bool(options.select) and not self.uses_select,
            '--label-field': options.label_field is not None and not self.label_fields,
        }
        if any(unknown.values()):
            names = ', '.join(name for name in unknown if unknown[name])
            raise UserError(f'format {self.name} does not know {names}; leave it out')
        if options.label_field not in (None, *self.label_fields):
            raise UserError(
                f'--label-field of format {self.name} is one of '
                f'{", ".join(self.label_fields)}, got {options.label_field!r}'
            )


def check_selection(
    source: SourceFile, what: str, names: Sequence[str], select: Sequence[str]
) -> None:
    """Refuses --select of what a file does not have."""
    unknown = sorted(set(select) - set(names))
    if unknown:
        raise UserError(
            f'{source}: no {what} {", ".join(unknown)} (--select); it has '
            f'{", ".join(names)}'
        )
