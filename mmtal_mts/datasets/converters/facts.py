"""What a person gives besides annotations: class lists, and durations of videos."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...structures.timebase import frames_to_seconds
from ...utils.errors import UserError
from ..sources import VIDEO_EXTENSIONS
from ..video import VideoReader
from .source_file import SourceFile
from .values import media_name, parse_positive, without_extension

_ID_AND_NAME = re.compile(r'([a-z]?\d+)[\s,;:]+(\S.*)')
# What tables call the columns, in lower case.
_COLUMNS = {
    'video': ('video', 'video_id', 'video-name', 'video_name', 'file', 'name', 'id'),
    'duration': ('duration', 'seconds', 'duration_second', 'video-duration'),
    'fps': ('fps', 'frame-rate', 'frame_rate'),
    'count': ('count', 'num_frames', 'numframe', 'frames', 'video-frames'),
    'subset': ('subset',),
}


@dataclass(frozen=True)
class ClassNames:
    """Classes in their order.

    Attributes:
        names: Names.
        ids: What the file calls them, e.g. 'c077'; their positions where it only has
            names.
    """

    names: tuple[str, ...]
    ids: tuple[str, ...]

    def by_id(self, class_id: str) -> str | None:
        """Returns the class that the file calls so, None if there is none."""
        return dict(zip(self.ids, self.names, strict=True)).get(class_id)

    def at(self, position: int) -> str | None:
        """Returns the class at a position from 0, None if there is none."""
        return self.names[position] if 0 <= position < len(self.names) else None


def read_class_names(source: SourceFile) -> ClassNames:
    """Reads a list of classes.

    Known are: a name per line, an id and a name per line ('7 BaseballPitch', 'c000
    Holding some clothes'), tables with the columns id and key (EPIC-KITCHENS), JSON
    lists of names and JSON objects of names by id.

    Args:
        source: The file.

    Raises:
        UserError: There is none, or one is repeated.
    """
    data = source.json_or_none
    if isinstance(data, dict):
        pairs = list(data.items())
    elif data is None and {'id', 'key'} <= set(source.columns):
        pairs = [(row.values['id'], row.values['key']) for row in source.rows]
    else:
        lines = data if isinstance(data, list) else [line for _, line in source.lines]
        pairs = [(str(position), name) for position, name in enumerate(lines)]
        if data is None and all(map(_ID_AND_NAME.fullmatch, lines)):
            pairs = [_ID_AND_NAME.fullmatch(line).groups() for line in lines]
    if not pairs or not all(isinstance(name, str) and name for _, name in pairs):
        raise UserError(
            f'{source}: no list of classes. Known are lines "NAME" or "ID NAME", '
            'tables with the columns id and key, JSON lists and objects.'
        )
    ids, names = zip(*pairs, strict=True)
    for what, values in (('ids', ids), ('names', names)):
        repeated = sorted({value for value in values if values.count(value) > 1})
        if repeated:
            raise UserError(f'{source}: the {what} {repeated} stand there twice')
    return ClassNames(names, ids)


@dataclass(frozen=True)
class VideoFacts:
    """What is known of a video.

    Attributes:
        duration: Seconds.
        fps: Frames per second.
        subset: Name of its subset.
    """

    duration: float | None = None
    fps: float | None = None
    subset: str | None = None


def read_video_facts(paths: Sequence[str | os.PathLike]) -> dict[str, VideoFacts]:
    """Reads durations from any of the places where people keep them.

    Known are: the durations file of THUMOS14 (a line with the file, a line with the
    seconds), tables with a column for the video and one for the duration (or number
    of frames and fps), JSON objects of seconds, JSON annotation files with "duration",
    and folders of videos.

    Args:
        paths: Files and folders.

    Returns:
        Facts by video id, which is the file name without extension.

    Raises:
        UserError: Nothing can be read from a path.
    """
    facts: dict[str, VideoFacts] = {}
    for path in map(Path, paths):
        if path.is_dir():
            found = _from_folder(path)
        elif path.is_file():
            source = SourceFile(path)
            if source.json_or_none is not None:
                found = _from_json(source.json)
            else:
                found = facts_from_table(source) or _from_lines(source)
        else:
            raise UserError(f'{path}: no such file or folder (--durations)')
        if not found:
            raise UserError(
                f'{path}: holds no durations. Known are pairs of lines (file, '
                'seconds), tables with the columns video and duration, JSON, and '
                'folders of videos.'
            )
        facts.update(found)
    return facts


def facts_from_table(source: SourceFile) -> dict[str, VideoFacts]:
    """Reads a table with a row for each video; nothing if its columns are others."""
    given = {name.lower(): name for name in source.columns}
    columns = {
        key: next((given[name] for name in names if name in given), '')
        for key, names in _COLUMNS.items()
    }
    has_length = columns['duration'] or (columns['fps'] and columns['count'])
    if not columns['video'] or not has_length:
        return {}
    facts = {}
    for row in source.rows:
        values = {key: row.values.get(name) for key, name in columns.items()}
        seconds, fps, count = (
            parse_positive(values[key]) for key in ('duration', 'fps', 'count')
        )
        if seconds is None and fps and count:
            seconds = frames_to_seconds(count, fps)
        name = without_extension(media_name(values['video']))
        facts[name] = VideoFacts(seconds, fps, values['subset'])
    return facts


def _from_lines(source: SourceFile) -> dict[str, VideoFacts]:
    lines = [line for _, line in source.lines]
    durations = [parse_positive(line) for line in lines[1::2]]
    if len(lines) % 2 or None in durations:
        return {}
    names = (without_extension(media_name(line)) for line in lines[::2])
    return dict(zip(names, map(VideoFacts, durations), strict=True))


def _from_json(data: Any) -> dict[str, VideoFacts]:
    data = data.get('database', data) if isinstance(data, dict) else {}
    facts = {}
    for name, value in data.items() if isinstance(data, dict) else ():
        entry = value if isinstance(value, dict) else {'duration': value}
        duration = parse_positive(entry.get('duration', entry.get('duration_second')))
        if duration is not None:
            facts[name] = VideoFacts(duration, parse_positive(entry.get('fps')))
    return facts


def _from_folder(folder: Path) -> dict[str, VideoFacts]:
    facts = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() in VIDEO_EXTENSIONS:
            video = VideoReader(path)
            facts[path.stem] = VideoFacts(video.duration_s, video.fps)
    return facts
