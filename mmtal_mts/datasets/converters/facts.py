"""What a person gives besides annotations: class lists, and durations of videos."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ...structures.timebase import frames_to_seconds
from ...utils.errors import UserError
from ..sources import VIDEO_EXTENSIONS
from ..video import VideoReader
from .source_file import SourceFile, parse_positive, video_id

Facts = dict[str, dict[str, Any]]
"""By video id: "duration" in seconds, "fps" and "subset", as far as they are known."""

_ID_AND_NAME = re.compile(r'([a-z]?\d+)[\s,;:]+(\S.*)')
# What tables call the columns, without capitals, digits and signs.
_COLUMNS = {
    'video': ('video', 'videoid', 'videoname', 'file', 'name', 'id'),
    'duration': ('duration', 'seconds', 'durationsecond', 'videoduration'),
    'fps': ('fps', 'framerate'),
    'count': ('count', 'numframes', 'numframe', 'frames', 'videoframes'),
    'subset': ('subset',),
}


def find_columns(
    columns: Sequence[str], aliases: Mapping[str, Sequence[str]]
) -> dict[str, str]:
    """Finds the columns of a table by what they are called, whatever the spelling."""
    plain = {re.sub(r'[^a-z]', '', name.lower()): name for name in columns}
    return {
        key: next(plain[name] for name in names if name in plain)
        for key, names in aliases.items()
        if not plain.keys().isdisjoint(names)
    }


def read_class_names(source: SourceFile) -> dict[str, str]:
    """Reads a list of classes.

    Known are: a name per line, an id and a name per line ('7 BaseballPitch', 'c000
    Holding some clothes'), tables with the columns id and key (EPIC-KITCHENS), JSON
    lists of names and JSON objects of names by id.

    Args:
        source: The file.

    Returns:
        Names in their order, by the ids that the file gives them or their positions.

    Raises:
        UserError: There is none, or one is repeated.
    """
    data = source.json if source.is_json else None
    if isinstance(data, dict):
        pairs = list(data.items())
    elif data is None and {'id', 'key'} <= set(source.columns):
        pairs = [(row['id'], row['key']) for _, row in source.rows()]
    else:
        lines = [line for _, line in source.lines] if data is None else data
        pairs = [(str(position), name) for position, name in enumerate(lines)]
        if data is None and all(map(_ID_AND_NAME.fullmatch, lines)):
            pairs = [_ID_AND_NAME.fullmatch(line).groups() for line in lines]
    if not pairs or not all(isinstance(name, str) and name for _, name in pairs):
        raise source.error(
            'no list of classes. Known are lines "NAME" or "ID NAME", tables with the '
            'columns id and key, JSON lists and objects.'
        )
    for what, values in zip(('ids', 'names'), zip(*pairs, strict=True), strict=True):
        repeated = sorted({value for value in values if values.count(value) > 1})
        if repeated:
            raise source.error(f'the {what} {repeated} appear twice')
    return dict(pairs)


def read_video_facts(paths: Sequence[str | os.PathLike]) -> Facts:
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
    facts: Facts = {}
    for path in map(Path, paths):
        if not path.exists():
            raise UserError(f'{path}: no such file or folder (--durations)')
        found = _from_folder(path) if path.is_dir() else _from_file(SourceFile(path))
        if not found:
            raise UserError(
                f'{path}: holds no durations. Known are pairs of lines (file, '
                'seconds), tables with the columns video and duration, JSON, and '
                'folders of videos.'
            )
        facts.update(found)
    return facts


def facts_from_table(source: SourceFile) -> Facts:
    """Reads a table with a row for each video; nothing if its columns are others."""
    columns = find_columns(source.columns, _COLUMNS)
    has_length = 'duration' in columns or {'fps', 'count'} <= columns.keys()
    facts = {}
    for _, row in source.rows() if 'video' in columns and has_length else ():
        given = {key: row[name] for key, name in columns.items()}
        seconds, fps, count = (
            parse_positive(given.get(key)) for key in ('duration', 'fps', 'count')
        )
        if seconds is None and fps and count:
            seconds = frames_to_seconds(count, fps)
        known = {'duration': seconds, 'fps': fps, 'subset': given.get('subset')}
        known = {key: value for key, value in known.items() if value is not None}
        facts[video_id(given['video'])] = known
    return facts


def facts_beside(source: SourceFile, name: str, result: Any) -> Facts:
    """Reads such a table beside a file, if there is one."""
    table = source.sibling(name)
    if table is None:
        return {}
    result.note(f'facts of the videos are from {table}')
    return facts_from_table(table)


def _from_folder(folder: Path) -> Facts:
    facts = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() in VIDEO_EXTENSIONS:
            video = VideoReader(path)
            facts[path.stem] = {'duration': video.duration_s, 'fps': video.fps}
    return facts


def _from_file(source: SourceFile) -> Facts:
    if not source.is_json:
        lines = [line for _, line in source.lines]
        durations = [{'duration': parse_positive(line)} for line in lines[1::2]]
        is_pairs = len(lines) % 2 == 0 and {'duration': None} not in durations
        pairs = dict(zip(map(video_id, lines[::2]), durations, strict=False))
        return facts_from_table(source) or (pairs if is_pairs else {})
    data = source.json if isinstance(source.json, dict) else {}
    data = data.get('database', data)
    facts = {}
    for name, value in data.items() if isinstance(data, dict) else ():
        entry = value if isinstance(value, dict) else {'duration': value}
        duration = parse_positive(entry.get('duration', entry.get('duration_second')))
        if duration is not None:
            facts[name] = {
                'duration': duration,
                'fps': parse_positive(entry.get('fps')),
            }
    return facts
