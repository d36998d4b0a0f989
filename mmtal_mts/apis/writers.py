"""Results of inference, which of them are shown, and the files that they go into.

Text and pictures are here; the page is in :mod:`.report`, the video in
:mod:`.annotated_video`. A writer is a function of a result, a path, and the selection
of its detections; the file appears whole or not at all, in folders that are made.
"""

from __future__ import annotations

import csv
import html
import os
from collections.abc import Iterable, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np

from ..datasets.sources import SourceFinder
from ..datasets.video import VideoReader, VideoReadError
from ..evaluation.functional.detections import dump_detections, load_detections
from ..structures import Annotations, Segments, load_annotations
from ..utils import UserError
from ..utils.io import atomic_write
from ..visualization import STRIP_ASPECT, Timeline, render_timelines, write_picture


@dataclass(frozen=True, kw_only=True)
class VideoResult(Timeline):
    """Detections of one video, by descending score, and what is needed to show them.

    Attributes: those of :class:`.Timeline`; seconds count from the first frame.
        classes: Names of the labels.
        path: Video file; None for frames that came as an array.
        warnings: What was wrong with the file.
        first_frame_s: When players show the first frame, in seconds.
    """

    classes: tuple[str, ...]
    path: str | None = None
    warnings: tuple[str, ...] = ()
    first_frame_s: float = 0.0

    def rows(self) -> list[tuple[float, float, str, float]]:
        """Returns start and end in seconds, class name and score of each detection."""
        found = self.detections
        names = (self.classes[label] for label in found.labels)
        columns = (*found.segments.T.tolist(), names, found.scores.tolist())
        return list(zip(*columns, strict=True))

    def with_ground_truth(self, annotations: Annotations) -> VideoResult:
        """Adds the annotated actions of the video, found by its id or file name.

        Classes that only the annotations have come behind those of the model. Without
        an annotation of the video it is the same result.
        """
        path = Path(self.path or self.video_id)
        by_file = {Path(v.file).name: v for v in annotations.videos.values() if v.file}
        known = {**by_file, **annotations.videos}
        names = (self.video_id, path.stem, path.name)
        video = next((known[name] for name in names if name in known), None)
        if video is None:
            return self
        extra = [name for name in annotations.classes if name not in self.classes]
        classes = (*self.classes, *extra)
        labels = np.array([classes.index(name) for name in annotations.classes])
        truth = Segments(video.actions.segments, labels[video.actions.labels])
        return replace(self, classes=classes, ground_truth=truth)


@dataclass(frozen=True)
class Selection:
    """Which detections are shown and written.

    Attributes:
        score_thr: Those with lower scores are left out.
        top_k: Only the best of a video, at most this many. None: all.
        classes: Only these. None: all.

    Raises:
        UserError: A setting is out of range.
    """

    score_thr: float = 0.2
    top_k: int | None = 100
    classes: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        """Checks the settings."""
        if self.top_k is not None and self.top_k < 1:
            raise UserError(f'top_k must be at least 1 or None, got {self.top_k}')
        if not 0 <= self.score_thr <= 1:
            raise UserError(f'score_thr must be in 0..1, got {self.score_thr}')

    def check(self, classes: Sequence[str]) -> None:
        """Raises a :class:`.UserError` if a model lacks classes of the selection."""
        unknown = [name for name in self.classes or () if name not in classes]
        if unknown:
            raise UserError(
                f'class {", ".join(map(repr, unknown))} is unknown; the model knows '
                f'{", ".join(classes)}'
            )

    def __call__(self, result: VideoResult) -> VideoResult:
        """Returns the same result with the selected detections only."""
        self.check(result.classes)
        found = result.detections
        keep = found.scores >= self.score_thr
        if self.classes is not None:
            labels = [result.classes.index(name) for name in self.classes]
            keep &= np.isin(found.labels, labels)
        return replace(result, detections=found[keep][: self.top_k])


def write_json(result: VideoResult, path: Path, selection: Selection) -> None:
    """Writes JSON in the format of the ActivityNet challenge, nothing rounded."""
    shown = selection(result)
    dump_detections(path, {shown.video_id: shown.detections}, shown.classes)


def write_csv(result: VideoResult, path: Path, selection: Selection) -> None:
    """Writes a table ``video,start,end,label,score``, times in seconds, by start."""
    with (
        atomic_write(path) as temporary,
        open(temporary, 'w', newline='', encoding='utf-8') as file,
    ):
        table = csv.writer(file)
        table.writerow(['video', 'start', 'end', 'label', 'score'])
        for start, end, name, score in sorted(selection(result).rows()):
            times = (f'{start:.3f}', f'{end:.3f}')
            table.writerow([result.video_id, *times, name, f'{score:.4f}'])


def write_subtitles(result: VideoResult, path: Path, selection: Selection) -> None:
    """Writes subtitles: WebVTT if the path ends with ``.vtt``, else SubRip.

    Not every player shows overlapping subtitles, so each names all actions of its
    time.
    """
    is_vtt = path.suffix == '.vtt'
    blocks = ['WEBVTT\n'] if is_vtt else []
    for number, (*times, actions) in enumerate(cues(selection(result)), start=1):
        lines = [] if is_vtt else [f'{number}']
        lines += [' --> '.join(_clock(time, '.' if is_vtt else ',') for time in times)]
        for name, score in actions.items():
            # One line, without what ends a cue.
            name = ' '.join(name.split()).replace('-->', '→')
            name = html.escape(name, quote=False) if is_vtt else name
            lines.append(f'{name} ({score:.2f})')
        blocks.append('\n'.join([*lines, '']))
    with atomic_write(path) as temporary:
        temporary.write_text('\n'.join(blocks), encoding='utf-8')


def cues(result: VideoResult) -> list[tuple[int, int, dict[str, float]]]:
    """Cuts the time into stretches in which the same actions happen.

    Returns:
        Start and end in milliseconds of the player, and the best scores of the actions
        by their names, in descending order.
    """
    segments = result.detections.segments + result.first_frame_s
    # Whole milliseconds, so that no stretch is empty once it is written.
    segments = np.round(1000 * segments).astype(int)
    rows, found = result.rows(), []
    for start, end in pairwise(np.unique(segments).tolist()):
        happens = (segments[:, 0] <= start) & (segments[:, 1] >= end)
        best: dict[str, float] = {}
        for index in np.flatnonzero(happens):
            best.setdefault(rows[index][2], rows[index][3])
        if found and found[-1][1:] == (start, best):
            found[-1] = (found[-1][0], end, best)
        elif best:
            found.append((start, end, best))
    return found


def write_timeline(result: VideoResult, path: Path, selection: Selection) -> None:
    """Writes PNG: frames of the video along a time axis, and a row per class."""
    shown = selection(result)
    if shown.path is not None:
        shown = replace(shown, frames=_read_strip(shown.path, shown.duration))
    picture = render_timelines([shown], shown.classes, selection.score_thr)
    write_picture(path, picture)


def plot_timelines(
    ann_file: str | os.PathLike,
    detection_file: str | os.PathLike,
    out_path: str | os.PathLike,
    *,
    video_dir: str | os.PathLike | None = None,
    video_ids: Sequence[str] | None = None,
    num_videos: int = 4,
    score_thr: float = 0.3,
    on_invalid: str = 'error',
    title: str = '',
) -> None:
    """Draws ground truth and detections of some videos of a data set.

    Args:
        ann_file: Native annotation file.
        detection_file: Detections as the test metric writes them.
        out_path: PNG file to write.
        video_dir: Folder with the video files; without it, or where a video is
            missing, no frames are shown.
        video_ids: Videos to draw. None: the first ``num_videos`` of the annotation
            that are in the detection file.
        num_videos: See ``video_ids``.
        score_thr: Detections with lower scores are not drawn.
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
    finder, timelines = video_dir and SourceFinder(os.fspath(video_dir), 'video'), []
    for name, video in ((name, videos[name]) for name in video_ids):
        found = detections.get(name, Segments.empty(with_scores=True))
        ends = [*video.actions.segments[:, 1], *found.segments[:, 1]]
        duration = max(ends, default=0.0) if video.duration is None else video.duration
        path = finder and (finder.find(name, video.file) or finder.find(name))
        frames = _read_strip(path, duration) if path else []
        timelines.append(Timeline(name, duration, found, video.actions, frames))
    picture = render_timelines(timelines, annotations.classes, score_thr, title)
    write_picture(out_path, picture)


def _read_strip(path: str, duration_s: float) -> list[tuple[float, np.ndarray]]:
    """Times and pictures, evenly spread, as many as fit next to each other."""
    with closing(VideoReader(path)) as reader:
        height, width = reader.at(0.0).shape[:2]
    count = int(np.clip(round(STRIP_ASPECT * height / width), 4, 32))
    times = (np.arange(count) + 0.5) * duration_s / count
    return list(read_pictures(path, times.tolist()).items())


def read_pictures(
    path: str, times_s: Iterable[float], max_height: int = 180
) -> dict[float, np.ndarray]:
    """Reads what is on screen at some times.

    Args:
        path: Video file.
        times_s: Seconds since the first frame.
        max_height: To which larger pictures are scaled down.

    Returns:
        Pictures (H, W, 3) uint8 RGB by time; those at a damaged end are missing.

    Raises:
        VideoReadError: It is not a readable video.
    """
    pictures = {}
    with closing(VideoReader(path, 0)) as reader, suppress(VideoReadError):
        # One by one, so that only one picture is held at its full size.
        for time in sorted(times_s):
            image = reader.at(time)
            scale = min(1, max_height / len(image))
            size = [max(1, round(length * scale)) for length in image.shape[1::-1]]
            pictures[time] = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    return pictures


def _clock(millis: int, separator: str) -> str:
    """A time as subtitles write it, e.g. ``01:02:03,456`` with separator ','."""
    seconds, millis = divmod(millis, 1000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f'{hours:02d}:{minutes:02d}:{seconds:02d}{separator}{millis:03d}'
