"""Durations and frame rates from files that only hold those, or from the videos."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmtal_mts.datasets.frame_times import FrameTimes
from mmtal_mts.datasets.sources import VIDEO_EXTENSIONS
from mmtal_mts.datasets.transforms.video_readers import (
    VideoReadError,
    available_backends,
    open_video,
)
from mmtal_mts.utils.errors import UserError

from .source_file import SourceFile
from .values import media_name, parse_positive, without_extension

_VIDEO_COLUMNS = ('video', 'video_id', 'video-name', 'video_name', 'file', 'name', 'id')
_DURATION_COLUMNS = ('duration', 'seconds', 'duration_second', 'video-duration')
_FPS_COLUMNS = ('fps', 'frame-rate', 'frame_rate')
_COUNT_COLUMNS = ('count', 'num_frames', 'numframe', 'frames', 'video-frames')


@dataclass(frozen=True)
class VideoFacts:
    """What is known of a video.

    Attributes:
        duration (float, optional): Seconds.
        fps (float, optional): Frames per second.
        subset (str, optional): Name of its subset.
    """

    duration: float | None = None
    fps: float | None = None
    subset: str | None = None


def probe_video(path: str | os.PathLike) -> FrameTimes:
    """Reads length and rate of a video file from its container.

    Args:
        path (str | os.PathLike): Video file.

    Returns:
        FrameTimes: Number of frames, rate and duration, by time stamps.

    Raises:
        VideoReadError: If it cannot be opened or does not tell.
    """
    problems = []
    for backend in available_backends():
        try:
            reader = open_video(os.fspath(path), backend)
            times = reader.times()
        # Each library has its own errors for a damaged file.
        except Exception as error:
            problems.append(f'{backend}: {error}')
            continue
        if times is not None and times.num_frames > 0:
            return times
        problems.append(f'{backend}: tells no length or frame rate')
    raise VideoReadError(
        f'{path}: cannot be opened as a video ({"; ".join(problems) or "no decoder"})'
    )


def read_video_facts(paths: Sequence[str | os.PathLike]) -> dict[str, VideoFacts]:
    """Reads durations from any of the places where people keep them.

    Known are: the durations file of THUMOS14 (a line with the file, a line with the
    seconds), tables with a column for the video and one for the duration (or number
    of frames and fps), JSON objects of seconds, JSON annotation files with "duration",
    and folders of videos.

    Args:
        paths (Sequence[str | os.PathLike]): Files and folders.

    Returns:
        dict[str, VideoFacts]: By video id, which is the file name without extension.

    Raises:
        UserError: If nothing can be read from a path.
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
        source (SourceFile): Table; empty result if the columns are others.

    Returns:
        dict[str, VideoFacts]: By video id.
    """
    names = {name.lower(): name for name in source.columns}

    def pick(wanted: Sequence[str]) -> str | None:
        return next((names[name] for name in wanted if name in names), None)

    video, duration = pick(_VIDEO_COLUMNS), pick(_DURATION_COLUMNS)
    fps, count, subset = pick(_FPS_COLUMNS), pick(_COUNT_COLUMNS), pick(('subset',))
    if video is None or (duration is None and (fps is None or count is None)):
        return {}
    facts = {}
    for row in source.rows:
        rate = parse_positive(row[fps]) if fps else None
        seconds = parse_positive(row[duration]) if duration else None
        frames = parse_positive(row[count]) if count else None
        if seconds is None and rate and frames:
            seconds = frames / rate
        name = without_extension(media_name(row[video]))
        facts[name] = VideoFacts(seconds, rate, row[subset] if subset else None)
    return facts


def _from_file(source: SourceFile) -> dict[str, VideoFacts]:
    if source.json_or_none is not None:
        return _from_json(source.json)
    facts = facts_from_table(source)
    if facts:
        return facts
    lines = [line for _, line in source.lines]
    if len(lines) % 2:
        return {}
    for name, seconds in zip(lines[::2], lines[1::2]):
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
            times = probe_video(path)
            facts[path.stem] = VideoFacts(times.duration_s, times.fps)
    return facts
