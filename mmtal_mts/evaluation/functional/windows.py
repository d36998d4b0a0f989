"""Raw detections of windows, before they are merged, and their file."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from mmtal_mts.utils.io import atomic_write

from .detections import Detections
from .merge import WindowMerger

_FIELDS = (
    'classes',
    'video_ids',
    'durations',
    'video',
    'window_offset',
    'segments',
    'scores',
    'labels',
)


@dataclass
class VideoWindows:
    """Windows of one video.

    Attributes:
        duration (float, optional): Seconds; None where it is not known.
        offsets (list[int]): First sampled frame of each window, ascending.
        detections (list[Detections]): Of each window, in seconds of the video.
    """

    duration: float | None = None
    offsets: list[int] = field(default_factory=list)
    detections: list[Detections] = field(default_factory=list)


def merge_videos(
    videos: dict[str, VideoWindows], merger: WindowMerger
) -> dict[str, Detections]:
    """Detections of videos from those of their windows.

    Args:
        videos (dict[str, VideoWindows]): By video id.
        merger (WindowMerger): How to merge.

    Returns:
        dict[str, Detections]: By video id.
    """
    merged = merger.merge_videos(
        (video.detections, video.duration) for video in videos.values()
    )
    return dict(zip(videos, merged))


def dump_windows(
    path: str | os.PathLike, videos: dict[str, VideoWindows], classes: Sequence[str]
) -> None:
    """Write raw detections to an NPZ file, whole or not at all.

    Args:
        path (str | os.PathLike): File to write.
        videos (dict[str, VideoWindows]): By video id.
        classes (Sequence[str]): Names of the labels 0..K-1.
    """
    parts, rows, offsets = [], [], []
    for row, video in enumerate(videos.values()):
        for offset, found in zip(video.offsets, video.detections):
            parts.append(found)
            rows.append(np.full(len(found), row))
            offsets.append(np.full(len(found), offset))
    merged = Detections.concatenate(parts)
    nothing = [np.zeros(0, dtype=np.int64)]
    durations = [video.duration or np.nan for video in videos.values()]
    with atomic_write(path) as temporary, open(temporary, 'wb') as file:
        np.savez_compressed(
            file,
            classes=np.array(list(classes), dtype=str),
            video_ids=np.array(list(videos), dtype=str),
            durations=np.array(durations, dtype=np.float64),
            video=np.concatenate(rows or nothing),
            window_offset=np.concatenate(offsets or nothing),
            segments=merged.segments,
            scores=merged.scores,
            labels=merged.labels,
        )


def load_windows(
    path: str | os.PathLike,
) -> tuple[dict[str, VideoWindows], tuple[str, ...]]:
    """Read what :func:`dump_windows` wrote.

    Args:
        path (str | os.PathLike): NPZ file.

    Returns:
        tuple: Windows by video id (windows without a detection are left out), and the
        class names.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is not such a file.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f'{path}: no such file of raw detections')
    try:
        with np.load(path, allow_pickle=False) as arrays:
            data = {name: arrays[name] for name in _FIELDS}
    except (ValueError, KeyError, OSError, TypeError, zipfile.BadZipFile) as error:
        raise ValueError(
            f'{path}: not a file of raw detections, as the test metric writes it with '
            'test_evaluator.windows_path=FILE.npz (the pickle of tools/test.py --dump '
            f'is not read)'
        ) from error
    found = Detections(data['segments'], data['scores'], data['labels'])
    videos = {
        str(video_id): VideoWindows(None if np.isnan(duration) else float(duration))
        for video_id, duration in zip(data['video_ids'], data['durations'])
    }
    for row, video in enumerate(videos.values()):
        own = np.flatnonzero(data['video'] == row)
        video.offsets = np.unique(data['window_offset'][own]).tolist()
        video.detections = [
            found[own[data['window_offset'][own] == offset]] for offset in video.offsets
        ]
    return videos, tuple(map(str, data['classes']))
