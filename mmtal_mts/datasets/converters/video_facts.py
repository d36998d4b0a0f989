"""Durations and frame rates from files that only hold those, or from the videos."""

from __future__ import annotations

import os
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

# What tables call the columns, in lower case.
_COLUMNS = {
    'video': ('video', 'video_id', 'video-name', 'video_name', 'file', 'name', 'id'),
    'duration': ('duration', 'seconds', 'duration_second', 'video-duration'),
    'fps': ('fps', 'frame-rate', 'frame_rate'),
    'count': ('count', 'num_frames', 'numframe', 'frames', 'video-frames'),
    'subset': ('subset',),
}


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
            found = _from_file(SourceFile(path))
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
    """Reads a table with a row for each video.

    Args:
        source: Table.

    Returns:
        Facts by video id; none if the columns are others.
    """
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


def _from_file(source: SourceFile) -> dict[str, VideoFacts]:
    if source.json_or_none is not None:
        return _from_json(source.json)
    facts = facts_from_table(source)
    lines = [line for _, line in source.lines]
    if facts or len(lines) % 2:
        return facts
    for name, seconds in zip(lines[::2], lines[1::2], strict=True):
        duration = parse_positive(seconds)
        if duration is None:
            return {}
        facts[without_extension(media_name(name))] = VideoFacts(duration)
    return facts


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
