"""From an annotation file and a detection file to a picture."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Union

from mmengine.logging import print_log

from mmtal_mts.evaluation.functional.detections import Detections, load_detections
from mmtal_mts.structures.annotations import VideoAnnotation, load_annotations
from mmtal_mts.visualization import Timeline, draw_timelines

from .video_strip import read_strip

PathLike = Union[str, os.PathLike]
_VIDEO_SUFFIXES = ('.mp4', '.avi', '.mkv', '.webm', '.mov')


def plot_timelines(
    ann_file: PathLike,
    detection_file: PathLike,
    out_path: PathLike,
    *,
    video_dir: PathLike | None = None,
    video_ids: Sequence[str] | None = None,
    num_videos: int = 4,
    score_threshold: float = 0.3,
    on_invalid: str = 'error',
    title: str = '',
) -> None:
    """Draw ground truth and detections of some videos.

    Args:
        ann_file (str | os.PathLike): Native annotation file.
        detection_file (str | os.PathLike): Detections as the test metric writes
            them.
        out_path (str | os.PathLike): PNG file to write.
        video_dir (str | os.PathLike, optional): Folder with the video files; without
            it, or where a video is missing, no frames are shown.
        video_ids (Sequence[str], optional): Videos to draw. None: the first
            ``num_videos`` of the annotation that are in the detection file.
        num_videos (int): See ``video_ids``.
        score_threshold (float): Detections with lower scores are not drawn.
        on_invalid (str): What to do about invalid annotations: 'error', 'clamp' or
            'drop'.
        title (str): Of the picture.

    Raises:
        ValueError: If a video is not annotated, or nothing is left to draw.
    """
    annotations = load_annotations(os.fspath(ann_file), on_invalid=on_invalid)
    detections = load_detections(detection_file, annotations.classes)
    videos = annotations.videos
    if video_ids is None:
        video_ids = [name for name in videos if name in detections][:num_videos]
        if not video_ids:
            raise ValueError(f'{detection_file} holds none of the videos of {ann_file}')
    missing = [name for name in video_ids if name not in videos]
    if missing:
        raise ValueError(f'{ann_file} has no video {", ".join(missing)}')
    timelines = []
    for name in video_ids:
        found = detections.get(name, Detections.concatenate([]))
        timelines.append(_timeline(videos[name], found, video_dir))
    draw_timelines(out_path, timelines, annotations.classes, score_threshold, title)


def _timeline(
    video: VideoAnnotation, found: Detections, video_dir: PathLike | None
) -> Timeline:
    """Everything that is drawn of one video."""
    duration = video.duration
    if duration is None:
        ends = [*video.segments[:, 1], *found.segments[:, 1]]
        duration = max(ends, default=0.0)
    path = None if video_dir is None else _find(Path(video_dir), video)
    frames = []
    if path is not None:
        frames = read_strip(path, duration)
    elif video_dir is not None:
        print_log(f'{video_dir}: no file of video {video.video_id}', logger='current')
    return Timeline(video.video_id, duration, found, video, frames)


def _find(folder: Path, video: VideoAnnotation) -> Path | None:
    """The file of a video: the one that is annotated, else by its id."""
    names = [video.file] if video.file else []
    names += [f'{video.video_id}{suffix}' for suffix in _VIDEO_SUFFIXES]
    paths = (folder / name for name in names)
    return next((path for path in paths if path.is_file()), None)
