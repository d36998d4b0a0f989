"""Whether the videos, or the frames extracted from them, agree with an annotation."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from ..datasets.sources import (
    VIDEO_EXTENSIONS,
    ExtractionRecord,
    SourceFinder,
    read_record,
)
from ..datasets.stored import CHANNELS, count_images, open_array
from ..datasets.video import VideoReader, VideoReadError
from ..structures.annotations import VideoAnnotation
from ..structures.timebase import frames_to_seconds, length_tolerance_s
from ..utils.errors import UserError
from .annotation_report import Findings

# Relative; 29.97 and 30 differ by 0.1 %.
_RATE_TOLERANCE = 5e-4


def check_sources(
    videos: Sequence[VideoAnnotation],
    folders: Sequence[str],
    sample_fps: float | None,
    findings: Findings,
) -> None:
    """Opens the sources of every annotated video and compares length and rate.

    Args:
        videos: From the check of the entries.
        folders: Folders of video files, of arrays, or of folders of images; two of the
            same videos, for instance RGB and flow, are compared with each other.
        sample_fps: Rate of arrays without a record; None if it differs.
        findings: Gets the problems.

    Raises:
        UserError: There is no such folder, or it holds nothing of these.
    """
    counts: dict[str, list[tuple[str, int]]] = {}
    for folder in folders:
        if not os.path.isdir(folder):
            raise UserError(f'{folder}: no such folder (--videos)')
        record = read_record(folder)
        kind, sources = _sources_in(folder, record)
        finder, used = SourceFinder(folder, kind), set()
        for video in videos:
            name = video.video_id
            path = finder.find(name, video.file)
            if path is None:
                findings.add('missing-video', name, finder.expected(name, video.file))
                continue
            used.add(os.path.realpath(path))
            try:
                count, fps, length_s = _measure(path, kind, record)
            except VideoReadError as error:
                findings.add('unreadable-video', name, str(error))
                continue
            if kind == 'video':
                if video.fps and abs(video.fps - fps) > _RATE_TOLERANCE * fps:
                    message = f'{path}: {fps:g} fps, "fps" is {video.fps:g}'
                    findings.add('fps-mismatch', name, message)
            else:
                counts.setdefault(name, []).append((path, count))
                if record is None:
                    fps = video.fps if kind == 'frames' else sample_fps
                length_s = fps and frames_to_seconds(count, fps)
            if length_s is not None and video.duration is not None:
                if abs(length_s - video.duration) > length_tolerance_s(video.duration):
                    message = (
                        f'{path}: {count} frames at {fps:g} fps = {length_s:.2f} s'
                    )
                    message += f', "duration" is {video.duration:g} s'
                    findings.add('duration-mismatch', name, message)
            if record and record.num_frames not in (None, count):
                expected = f'but it was extracted to {record.num_frames}'
                findings.add('frame-count', name, f'{path}: {count} frames, {expected}')
        for path in sources:
            if os.path.realpath(path) not in used:
                findings.add('extra-video', None, str(path))
    for name, found in counts.items():
        if len({count for _, count in found}) > 1:
            text = ', '.join(f'{path} has {count} frames' for path, count in found)
            findings.add('stream-mismatch', name, text)


def _sources_in(folder: str, record: ExtractionRecord | None) -> tuple[str, list[Path]]:
    """The source type of a folder, by its record or else its content, and sources."""
    paths = [p for p in sorted(Path(folder).iterdir()) if not p.name.startswith('.')]
    by_kind = {
        'video': [p for p in paths if p.suffix.lower() in VIDEO_EXTENSIONS],
        'npy': [p for p in paths if p.suffix.lower() == '.npy'],
        'frames': [p for p in paths if p.is_dir()],
    }
    kind = next(filter(by_kind.get, by_kind), None) if record is None else record.layout
    if kind is None:
        raise UserError(
            f'{folder}: holds no video files, no .npy arrays and no folders of images '
            '(--videos)'
        )
    return kind, by_kind[kind]


def _measure(
    path: str, kind: str, record: ExtractionRecord | None
) -> tuple[int, float | None, float | None]:
    """Number of frames, their rate and seconds as far as the source tells them."""
    if kind == 'video':
        reader = VideoReader(path)
        return reader.num_frames, reader.fps, reader.duration_s
    fps = record and record.fps
    if kind == 'frames':
        return count_images(path), fps, None
    # Without a record it is either modality; the error of the first is reported.
    problem = None
    for modality in CHANNELS if record is None else [record.modality]:
        try:
            return len(open_array(path, modality)), fps, None
        except VideoReadError as error:
            problem = problem or error
    raise problem
