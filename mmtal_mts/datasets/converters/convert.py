"""The registry of converters, and the account of every annotation they read."""

from __future__ import annotations

import os
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...utils.errors import UserError
from ...version import __version__
from .facts import read_class_names, read_video_facts
from .source_file import SourceFile, parse_positive, parse_seconds, video_id

AMBIGUOUS = 'Ambiguous'
"""THUMOS14's label for segments that are neither action nor background."""

_THUMOS14_ID = re.compile(r'video_(validation|test)_\d{7}')
_SUBSETS = dict(train='training', val='validation', valid='validation', testing='test')
_REMEDIES = {'subset': '--subset NAME', 'duration': '--durations PATH'}


def _shorten(items: Iterable[str], limit: int = 3) -> str:
    """Lists the first items, and ', ...' if there are more."""
    items = list(items)
    return ', '.join(items[:limit]) + ', ...' * (len(items) > limit)


@dataclass
class Conversion:
    """A native annotation in the making, and the account of what is not in it.

    Attributes:
        format: Name of the format.
        durations: Facts by video id; they win over the annotation file's own.
        subset: Subset of all videos.
        classes: Class names in their order, by what the annotation calls them; those
            of a person, or else of the source if it has any.
        keep_ambiguous: Keep THUMOS14's segments labelled 'Ambiguous'.
        fps: Frame rate of videos that are annotated in frames.
        label_field: Which of several things an annotation says is the class.
        select: Names of the tiers, observations or attributes to take.
        files: Files that were read.
        content: Annotation file in the native format.
        dropped: Places by the reason why an annotation was not taken.
        removed_videos: Videos that are left out, and why.
        notes: What else a person should know.
    """

    format: str
    durations: Mapping[str, dict[str, Any]]
    subset: str | None = None
    classes: dict[str, str] | None = None
    keep_ambiguous: bool = False
    fps: float | None = None
    label_field: str | None = None
    select: Sequence[str] = ()
    files: list[str] = field(default_factory=list)
    content: dict[str, Any] = field(default_factory=dict)
    dropped: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    removed_videos: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._database: dict[str, dict[str, Any]] = {}
        self._counted: dict[str, dict[str, None]] = defaultdict(dict)
        self._touched: set[str] = set()

    def note(self, text: str, *items: str) -> None:
        """Adds a note, once; of some items, it counts and lists them."""
        self._counted[text].update(dict.fromkeys(items))

    def drop(self, reason: str, where: str, video: str | None = None) -> None:
        """Counts an annotation that is not taken under a reason in fixed words."""
        self.dropped[reason].append(where)
        if video is not None:
            self._touched.add(video)

    def add_video(self, video: str, /, **facts: Any) -> None:
        """Adds a video, or facts about one that is there; the first value stays.

        Args:
            video: Its id.
            **facts: "subset", "duration" in seconds, "fps" and "file" as the source
                has them.
        """
        entry = self._database.setdefault(video, {'annotations': []})
        for key in ('subset', 'duration', 'fps', 'file'):
            value = facts.get(key)
            if key == 'subset':
                value = self._subset_name(video, value)
            elif key != 'file':
                value = parse_positive(value)
            if value is not None and entry.setdefault(key, value) != value:
                text = f'contradicting values of "{key}", the first was kept'
                self.note(text, f'{video} ({entry[key]} and {value})')

    def add_action(
        self,
        video: str,
        segment: Iterable[Any],
        label: Any,
        where: str,
        frames: Sequence[Any] | None = None,
    ) -> None:
        """Adds an action, or counts why not.

        An impossible segment (end before start, out of the video) is taken: finding
        those is up to the checker.

        Args:
            video: Id of its video, which need not have been added.
            segment: Start and end in seconds, numbers or text.
            label: Class name.
            where: File and place.
            frames: Start and end in frames, if the source has them besides the
                seconds. Kept for the checker.
        """
        action = {'segment': [parse_seconds(time) for time in segment], 'label': label}
        if None in action['segment']:
            self.drop('start or end is not a time', where, video)
        elif not isinstance(label, str) or not label.strip():
            self.drop('no label', where, video)
        elif label == AMBIGUOUS and not self.keep_ambiguous:
            self.drop(f'labelled {AMBIGUOUS}', where, video)
        else:
            self.add_video(video)
            if frames is not None:
                action['segment(frames)'] = list(frames)
            self._database[video]['annotations'].append(action)

    def selected(
        self, source: SourceFile, what: str, names: Mapping[str, Any]
    ) -> Sequence[str]:
        """Returns those of the names that --select takes, by default all."""
        unknown = ', '.join(sorted(set(self.select) - set(names)))
        if unknown:
            known = ', '.join(names)
            raise source.error(f'no {what} {unknown} (--select); it has {known}')
        return self.select or list(names)

    def _subset_name(self, video: str, subset: Any) -> str | None:
        """Returns the project's name of a subset."""
        if self.subset is not None:
            return self.subset
        match = _THUMOS14_ID.fullmatch(video)
        if not isinstance(subset, str) or not subset:
            return match[1] if match else None
        # THUMOS14 is trained on its validation set, which some therefore call so.
        name = match[1] if match else _SUBSETS.get(subset.lower(), subset.lower())
        if name != subset and 'subset' not in self._database[video]:
            self.note(f'videos of subset {subset!r} are written as {name!r}', video)
        return name

    def finish(self) -> None:
        """Leaves out emptied videos, puts in the given durations, sums up the notes."""
        for video in sorted(self._touched):
            if not self._database.get(video, {}).get('annotations'):
                self._database.pop(video, None)
                self.removed_videos[video] = 'all its annotations were left out'
        labels = set()
        for video, entry in self._database.items():
            labels.update(action['label'] for action in entry['annotations'])
            # They are found by file name, which is not always the id.
            facts = self.durations.get(video_id(entry.get('file', video)), {})
            for key in ('duration', 'fps'):
                value = self.durations.get(video, facts).get(key)
                if value is not None and entry.setdefault(key, value) != value:
                    change = f'{video} {key} {entry[key]:g} -> {value:g}'
                    self.note('values were replaced by those of --durations', change)
                    entry[key] = value
            for key, remedy in _REMEDIES.items():
                if key not in entry:
                    self.note(f'videos have no "{key}"; {remedy} adds it', video)
        classes = list((self.classes or {}).values())
        unknown = sorted(labels - set(classes))
        if classes and unknown:
            text = 'labels are not in the class list and were added to it'
            self.note(text, *unknown)
        self.content = {
            'version': f'converted from {self.format} by mmtal_mts {__version__}',
            'classes': classes + unknown,
            'database': self._database,
        }
        self.notes = [
            f'{len(items):,} {text}: {_shorten(items, 8)}' if items else text
            for text, items in self._counted.items()
        ]


CONVERTERS: dict[str, Converter] = {}
"""All converters by the name of their format."""


@dataclass
class Converter:
    """Reads the files of one format; as a decorator it registers ``read``.

    Attributes:
        name: What the format is called on the command line.
        detect: Whether a file is of this format, so that ``read`` can be expected to
            work. An error means that it is not.
        options: Options among "fps", "select" and "label_field" that it knows, with
            the choices if there are any.
        read: Hands everything in a file to the conversion. It raises a UserError if
            the file is not of this format, or an option is missing. The first line of
            its docstring describes the format.
    """

    name: str
    detect: Callable[[SourceFile], bool]
    options: Mapping[str, Sequence[str]] = field(default_factory=dict)
    read: Callable[[SourceFile, Conversion], None] | None = None

    def __call__(self, read: Callable[[SourceFile, Conversion], None]) -> Callable:
        """Registers the function that reads files of this format."""
        self.read = read
        CONVERTERS[self.name] = self
        return read

    def accepts(self, source: SourceFile) -> bool:
        """Whether a file is of this format; one that cannot be parsed is not."""
        try:
            return bool(self.detect(source))
        except (UserError, AttributeError, IndexError, KeyError, TypeError):
            return False

    def check_options(self, result: Conversion) -> None:
        """Refuses options that this format does not know, by a UserError."""
        for name in ('fps', 'select', 'label_field'):
            value, choices = getattr(result, name), self.options.get(name)
            if value in (None, (), []) or choices == () or value in (choices or ()):
                continue
            remedy = f'it is one of {", ".join(choices)}' if choices else 'leave it out'
            flag = f'--{name.replace("_", "-")} {value}'
            raise UserError(f'format {self.name} does not know {flag}; {remedy}')


def _detect_format(sources: Sequence[SourceFile]) -> str:
    """Finds the only format that some of the files are of."""
    found = {
        name: names
        for name, converter in CONVERTERS.items()
        if (names := [file.name for file in sources if converter.accepts(file)])
    }
    if len(found) == 1:
        return next(iter(found))
    if found:
        listed = '; '.join(f'{name}: {_shorten(of)}' for name, of in found.items())
        raise UserError(f'files of {len(found)} formats ({listed}). Choose a --format')
    names, problems = [], []
    for source in sources[:8]:
        try:
            _ = source.json if source.is_json else source.text
            names.append(source.name)
        except UserError as error:
            problems.append(str(error))
    if names or not problems:
        problems.append(
            f'no known annotation format in {", ".join(names) or "an empty folder"}. '
            f'Name the format with --format: {", ".join(CONVERTERS)}'
        )
    raise UserError('\n'.join(problems))


def convert_annotations(
    sources: Sequence[str | os.PathLike],
    format_name: str | None = None,
    *,
    durations: Sequence[str | os.PathLike] = (),
    classes: str | os.PathLike | None = None,
    **options: Any,
) -> Conversion:
    """Reads annotations of any known format.

    Args:
        sources: Files, or folders of files.
        format_name: One of :data:`CONVERTERS`; found out by default.
        durations: Where to read durations, as :func:`.read_video_facts` knows them.
        classes: Class list, as :func:`.read_class_names` knows it.
        **options: Other options of a :class:`Conversion`: subset, keep_ambiguous, fps,
            label_field, select.

    Returns:
        The native annotation, and an account of what is not in it.

    Raises:
        UserError: The sources cannot be read.
    """
    facts = read_video_facts(durations)
    names = read_class_names(SourceFile(classes)) if classes else None
    files: list[SourceFile] = []
    folders = {path for path in map(Path, sources) if path.is_dir()}
    for path in map(Path, sources):
        if not path.exists():
            raise UserError(f'{path}: no such file or folder')
        for entry in sorted(path.iterdir()) if path in folders else [path]:
            if entry.is_file():
                files += SourceFile.open(entry)
    format_name = format_name or _detect_format(files)
    if format_name not in CONVERTERS:
        raise UserError(f'no format {format_name!r}; known are {", ".join(CONVERTERS)}')
    converter = CONVERTERS[format_name]
    result = Conversion(format_name, facts, classes=names, **options)
    converter.check_options(result)
    for source in files:
        # A named file is read, whatever it looks like; in a folder may be others.
        if source.path.parent in folders and not converter.accepts(source):
            result.note('files were not read as annotations', source.name)
            continue
        result.files.append(str(source))
        try:
            converter.read(source, result)
        # A file of another structure than the format has is bad input.
        except (AttributeError, IndexError, KeyError, TypeError) as error:
            problem = f'is not built as {format_name} files are ({error!r})'
            raise source.error(problem) from error
    result.finish()
    if not result.content['database']:
        reasons = [f'{len(places)} {why}' for why, places in result.dropped.items()]
        raise UserError(
            f'no annotation in {", ".join(map(str, sources))} read as {format_name} '
            f'({", ".join(reasons) or "it holds none"})'
        )
    return result


def describe_conversion(result: Conversion) -> str:
    """Returns lines for a person on what was converted and what was not."""
    database, counts = result.content['database'], defaultdict(list)
    for entry in database.values():
        counts[entry.get('subset', '(no subset)')].append(len(entry['annotations']))
    taken = sum(map(sum, counts.values()))
    dropped = sum(map(len, result.dropped.values()))
    num_classes, indent = len(result.content['classes']), ' ' * 10
    lines = [
        f'format    {result.format}, {len(result.files)} files read',
        f'found     {taken + dropped:,} annotations',
        f'imported  {taken:,} actions of {num_classes} classes in '
        f'{len(database):,} videos',
    ]
    for subset, each in sorted(counts.items()):
        text = f'{subset}: {sum(each):,} actions in {len(each):,} videos'
        lines.append(indent + text)
    lines.append(f'left out  {dropped:,} annotations')
    for reason, places in result.dropped.items():
        # A place, such as a tier, may appear many times.
        shown = _shorten(place for place, _ in Counter(places).most_common())
        lines.append(f'{indent}{len(places):,} {reason}: {shown}')
    if result.removed_videos:
        shown = f'such annotations: {_shorten(result.removed_videos)}'
        text = f'{len(result.removed_videos):,} videos with nothing but {shown}'
        lines.append(indent + text)
    return '\n'.join([*lines, *(f'note      {note}' for note in result.notes)])
