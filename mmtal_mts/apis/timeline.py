"""From an annotation file and a detection file to a picture."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from mmengine.logging import print_log

from ..evaluation.functional.detections import load_detections
from ..structures import Segments, VideoAnnotation, load_annotations
from ..visualization import Timeline, draw_timelines, read_strip
from ..visualization.film_strip import Frame

_VIDEO_SUFFIXES = ('.mp4', '.avi', '.mkv', '.webm', '.mov')


def plot_timelines(
    ann_file: str | os.PathLike,
    detection_file: str | os.PathLike,
    out_path: str | os.PathLike,
    *,
    video_dir: str | os.PathLike | None = None,
    video_ids: Sequence[str] | None = None,
    num_videos: int = 4,
    score_threshold: float = 0.3,
    on_invalid: str = 'error',
    title: str = '',
) -> None:
    """Draws ground truth and detections of some videos.

    Args:
        ann_file: Native annotation file.
        detection_file: Detections as the test metric writes them.
        out_path: PNG file to write.
        video_dir: Folder with the video files; without it, or where a video is
            missing, no frames are shown.
        video_ids: Videos to draw. None: the first ``num_videos`` of the annotation
            that are in the detection file.
        num_videos: See ``video_ids``.
        score_threshold: Detections with lower scores are not drawn.
        on_invalid: What to do about invalid annotations: 'error', 'clamp' or 'drop'.
        title: Of the picture.

    Raises:
        ValueError: A video is not annotated, or nothing is left to draw.
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
    nothing = Segments.empty(with_scores=True)
    timelines = []
    for video in map(videos.get, video_ids):
        found, duration = detections.get(video.video_id, nothing), video.duration
        if duration is None:
            ends = [*video.actions.segments[:, 1], *found.segments[:, 1]]
            duration = max(ends, default=0.0)
        frames = [] if video_dir is None else _frames(video, video_dir, duration)
        timelines.append(
            Timeline(video.video_id, duration, found, video.actions, frames)
        )
    draw_timelines(out_path, timelines, annotations.classes, score_threshold, title)


def _frames(
    video: VideoAnnotation, video_dir: str | os.PathLike, duration_s: float
) -> list[Frame]:
    """Frames of the file that is annotated, else of one that is named by the id."""
    names = [video.file] if video.file else []
    names += [f'{video.video_id}{suffix}' for suffix in _VIDEO_SUFFIXES]
    for path in (Path(video_dir) / name for name in names):
        if path.is_file():
            return read_strip(path, duration_s)
    print_log(f'{video_dir}: no file of video {video.video_id}', logger='current')
    return []
