"""Whether the videos, or the frames extracted from them, agree with the annotation."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from mmtal_mts.datasets.sources import SourceFinder
from mmtal_mts.structures.timebase import length_tolerance_s
from mmtal_mts.datasets.video import VideoReadError
from mmtal_mts.utils.errors import UserError

from .findings import Findings
from .segments import CheckedVideo
from .settings import WindowSettings
from .source_kinds import MeasuredSource, SourceKind, kind_of

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
        videos (Sequence[CheckedVideo]): From the check of the entries.
        folders (Sequence[str]): Folders of video files, of arrays, or of folders of
            images; two of the same videos, for instance RGB and flow, are compared
            with each other as well.
        windows (WindowSettings): Of the training.
        findings (Findings): Gets the problems.

    Raises:
        UserError: If there is no such folder, or it holds nothing of these.
    """
    counts: dict[str, list[tuple[str, int]]] = {}
    for folder in folders:
        if not os.path.isdir(folder):
            raise UserError(f'{folder}: no such folder (--videos)')
        kind = kind_of(folder, windows)
        for name, path, source in _check_folder(videos, kind, findings):
            if kind.source_type != 'video':
                counts.setdefault(name, []).append((path, source.num_frames))
    for name, found in counts.items():
        if len({count for _, count in found}) > 1:
            text = ', '.join(f'{path} has {count} frames' for path, count in found)
            findings.add('stream-mismatch', name, None, text)


def _check_folder(
    videos: Sequence[CheckedVideo], kind: SourceKind, findings: Findings
) -> Iterator[tuple[str, str, MeasuredSource]]:
    """Yields id, path and length of the videos that could be read."""
    finder = SourceFinder(kind.folder, kind.source_type)
    used = set()
    for video in videos:
        name = video.video_id
        path = finder.find(name, video.file)
        if path is None:
            findings.add('missing-video', name, None, finder.expected(name, video.file))
            continue
        used.add(os.path.realpath(path))
        try:
            source = kind.measure(path, video)
        except VideoReadError as error:
            findings.add('unreadable-video', name, None, str(error))
            continue
        _compare(video, path, source, findings)
        yield name, path, source
    for path in sorted(Path(kind.folder).iterdir()):
        if kind.is_source(path) and os.path.realpath(path) not in used:
            findings.add('extra-video', None, None, str(path))


def _compare(
    video: CheckedVideo, path: str, source: MeasuredSource, findings: Findings
) -> None:
    """Compares length and rate with what is annotated."""
    duration, length_s = video.duration, source.duration_s
    if (
        duration is not None
        and length_s is not None
        and abs(length_s - duration) > length_tolerance_s(duration)
    ):
        findings.add(
            'duration-mismatch',
            video.video_id,
            None,
            f'{path}: {source.num_frames} frames at {source.fps:g} fps = '
            f'{length_s:.2f} s, "duration" is {duration:g} s',
        )
    expected = source.expected_frames
    if expected is not None and source.num_frames != expected:
        findings.add(
            'frame-count',
            video.video_id,
            None,
            f'{path}: {source.num_frames} frames, but it was extracted to {expected}',
        )
    if (
        source.is_original
        and video.fps is not None
        and abs(video.fps - source.fps) > _RATE_TOLERANCE * source.fps
    ):
        findings.add(
            'fps-mismatch',
            video.video_id,
            None,
            f'{path}: {source.fps:g} fps, "fps" is {video.fps:g}',
        )
