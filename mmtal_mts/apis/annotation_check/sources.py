"""Whether the videos, or the frames extracted from them, agree with the annotation."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ...datasets.sources import (
    VIDEO_EXTENSIONS,
    ExtractionRecord,
    SourceFinder,
    read_record,
)
from ...datasets.stored import CHANNELS, count_images, open_array
from ...datasets.video import VideoReader, VideoReadError
from ...structures.timebase import frames_to_seconds, length_tolerance_s
from ...utils.errors import UserError

if TYPE_CHECKING:
    from .check import CheckedVideo, WindowSettings
    from .report import Findings

# Relative; 29.97 and 30 differ by 0.1 %.
_RATE_TOLERANCE = 5e-4


def check_sources(
    videos: Sequence[CheckedVideo],
    folders: Sequence[str],
    windows: WindowSettings,
    findings: Findings,
) -> None:
    """Opens the sources of every annotated video and compares length and rate.

    Args:
        videos: From the check of the entries.
        folders: Folders of video files, of arrays, or of folders of images; two of the
            same videos, for instance RGB and flow, are compared with each other.
        windows: Of the training.
        findings: Gets the problems.

    Raises:
        UserError: There is no such folder, or it holds nothing of these.
    """
    counts: dict[str, list[tuple[str, int]]] = {}
    for folder in folders:
        if not os.path.isdir(folder):
            raise UserError(f'{folder}: no such folder (--videos)')
        record = read_record(folder)
        kind = _kind_of(folder, record)
        finder, used = SourceFinder(folder, kind), set()
        for video in videos:
            name = video.video_id
            path = finder.find(name, video.file)
            if path is None:
                findings.add('missing-video', name, finder.expected(name, video.file))
                continue
            used.add(os.path.realpath(path))
            try:
                count = _check_source(path, kind, record, video, windows, findings)
            except VideoReadError as error:
                findings.add('unreadable-video', name, str(error))
                continue
            if kind != 'video':
                counts.setdefault(name, []).append((path, count))
        for path in sorted(Path(folder).iterdir()):
            if _is_source(path, kind) and os.path.realpath(path) not in used:
                findings.add('extra-video', None, str(path))
    for name, found in counts.items():
        if len({count for _, count in found}) > 1:
            text = ', '.join(f'{path} has {count} frames' for path, count in found)
            findings.add('stream-mismatch', name, text)


def _is_source(path: Path, kind: str) -> bool:
    """Whether something in a folder looks like a source of a kind."""
    if kind == 'frames':
        return path.is_dir() and not path.name.startswith('.')
    return path.suffix.lower() in (VIDEO_EXTENSIONS if kind == 'video' else ('.npy',))


def _kind_of(folder: str, record: ExtractionRecord | None) -> str:
    """The source type of a folder, by its record or else its content."""
    if record is not None:
        return record.layout
    for kind in ('video', 'npy', 'frames'):
        if any(_is_source(path, kind) for path in Path(folder).iterdir()):
            return kind
    raise UserError(
        f'{folder}: holds no video files, no .npy arrays and no folders of images '
        '(--videos)'
    )


def _num_rows(path: str, record: ExtractionRecord | None) -> int:
    """Frames of an array; without a record it is either modality."""
    modalities = list(CHANNELS) if record is None else [record.modality]
    problem = None
    for modality in modalities:
        try:
            return len(open_array(path, modality))
        except VideoReadError as error:
            problem = problem or error
    raise problem


def _check_source(
    path: str,
    kind: str,
    record: ExtractionRecord | None,
    video: CheckedVideo,
    windows: WindowSettings,
    findings: Findings,
) -> int:
    """Compares length and rate with the annotation; returns the number of frames."""
    name, duration = video.video_id, video.duration
    fps = length_s = None
    if kind == 'video':
        reader = VideoReader(path)
        count, fps, length_s = reader.num_frames, reader.fps, reader.duration_s
        if video.fps and abs(video.fps - fps) > _RATE_TOLERANCE * fps:
            message = f'{path}: {fps:g} fps, "fps" is {video.fps:g}'
            findings.add('fps-mismatch', name, message)
    else:
        count = _num_rows(path, record) if kind == 'npy' else count_images(path)
        if record is not None:
            fps = record.fps
        elif kind == 'frames':
            fps = video.fps
        elif windows.frames_per_video is None:
            fps = windows.sample_fps
        if fps is not None:
            length_s = frames_to_seconds(count, fps)
    if None not in (duration, length_s) and abs(
        length_s - duration
    ) > length_tolerance_s(duration):
        message = (
            f'{path}: {count} frames at {fps:g} fps = {length_s:.2f} s, "duration" is '
            f'{duration:g} s'
        )
        findings.add('duration-mismatch', name, message)
    expected = record and record.num_frames
    if expected is not None and count != expected:
        message = f'{path}: {count} frames, but it was extracted to {expected}'
        findings.add('frame-count', name, message)
    return count
