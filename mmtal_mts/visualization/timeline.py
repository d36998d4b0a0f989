"""A picture of when what happens in a video, and what a model says about it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from mmtal_mts.utils.io import atomic_write

from .class_row import FAINT, INK, ClassRow
from .film_strip import Frame
from .timeline_head import draw_head

_STRIPE, _GRID = '#f6f8fa', '#d8dee4'

# Sizes in inches; the pictures are 16 inches wide.
_WIDTH, _DPI, _RIGHT = 16.0, 100, 0.35
_HEAD, _TITLE, _STRIP, _AXIS = 0.62, 0.36, 0.95, 0.55


class Segments(Protocol):
    """Ground truth: ``segments`` (G, 2) in seconds and ``labels`` (G,)."""

    segments: np.ndarray
    labels: np.ndarray


class ScoredSegments(Segments, Protocol):
    """Detections: segments that also have ``scores`` (S,) in [0, 1]."""

    scores: np.ndarray


@dataclass(frozen=True)
class Timeline:
    """What is drawn of one video.

    Attributes:
        video_id (str): Shown above.
        duration (float): Seconds.
        detections (ScoredSegments, optional): E.g. ``Detections``; None where only the
            ground truth is shown.
        ground_truth (Segments, optional): E.g. a ``VideoAnnotation``; None where it
            is not known.
        frames (Sequence[tuple[float, np.ndarray]]): Seconds and pictures
            (H, W, 3), uint8, RGB.
        coarse (np.ndarray, optional): (S, 2) seconds, the segments that the detections
            were refined from.
    """

    video_id: str
    duration: float
    detections: ScoredSegments | None
    ground_truth: Segments | None = None
    frames: Sequence[Frame] = ()
    coarse: np.ndarray | None = None


def draw_timeline(
    out_path: str | os.PathLike,
    timeline: Timeline,
    classes: Sequence[str],
    score_threshold: float = 0.3,
    title: str = '',
) -> None:
    """Draw one video; see :func:`draw_timelines`."""
    draw_timelines(out_path, [timeline], classes, score_threshold, title)


def draw_timelines(
    out_path: str | os.PathLike,
    timelines: Sequence[Timeline],
    classes: Sequence[str],
    score_threshold: float = 0.3,
    title: str = '',
) -> None:
    """Draw several videos below each other into a PNG file, 1600 pixels wide.

    Each video has its frames along the time axis, and a row for every class that
    occurs: the ground truth as one bar, the detections in lanes below it, the best
    on top. The fuller the colour of a detection, the higher its score; it is
    hatched if its tIoU with every ground-truth segment of its class is below 0.5.

    Args:
        out_path (str | os.PathLike): PNG file to write; missing folders are made.
        timelines (Sequence[Timeline]): At least one.
        classes (Sequence[str]): Names of the labels 0..K-1.
        score_threshold (float): Detections with lower scores are not drawn.
        title (str): Of the whole picture.

    Raises:
        ValueError: If there is nothing to draw or a duration is not positive.
    """
    figure = _compose(timelines, classes, score_threshold, title)
    with atomic_write(out_path) as temporary:
        figure.savefig(temporary, format='png')


def render_timelines(
    timelines: Sequence[Timeline],
    classes: Sequence[str],
    score_threshold: float = 0.3,
    title: str = '',
) -> np.ndarray:
    """The picture of :func:`draw_timelines` as an array.

    Args:
        timelines, classes, score_threshold, title: See there.

    Returns:
        np.ndarray: (H, 1600, 3), uint8, RGB.

    Raises:
        ValueError: See there.
    """
    figure = _compose(timelines, classes, score_threshold, title)
    figure.canvas.draw()
    return np.asarray(figure.canvas.buffer_rgba())[..., :3].copy()


def _compose(
    timelines: Sequence[Timeline],
    classes: Sequence[str],
    score_threshold: float,
    title: str,
) -> Figure:
    """Lay the blocks of the videos out below each other."""
    if not timelines:
        raise ValueError('draw_timelines: no video to draw')
    blocks = [_Block(timeline, classes, score_threshold) for timeline in timelines]
    height = _HEAD + sum(block.height for block in blocks)
    figure = Figure(figsize=(_WIDTH, height), dpi=_DPI, facecolor='white')
    FigureCanvasAgg(figure)
    names = [row.name for block in blocks for row in block.rows]
    longest = max([len(line) for name in names for line in name.split('\n')], default=0)
    left = float(np.clip(0.095 * longest + 0.35, 1.2, 3.2))
    y = 1 - 0.3 / height
    draw_head(
        figure,
        (left / _WIDTH, 1 - _RIGHT / _WIDTH, y),
        title,
        timelines,
        score_threshold,
    )
    top = height - _HEAD
    for block in blocks:
        block.draw(figure, left, top, height)
        top -= block.height
    return figure


class _Nothing:
    """Detections of a video for which none are shown."""

    segments, scores, labels = np.zeros((0, 2)), np.zeros(0), np.zeros(0, dtype=int)


class _Block:
    """The part of a picture that shows one video.

    Args:
        timeline (Timeline): The video.
        classes (Sequence[str]): Names of the labels.
        score_threshold (float): Detections below it are left out.
    """

    def __init__(
        self, timeline: Timeline, classes: Sequence[str], score_threshold: float
    ) -> None:
        if not timeline.duration > 0:
            raise ValueError(
                f'video {timeline.video_id}: duration must be positive, got '
                f'{timeline.duration}'
            )
        self.timeline = timeline
        found, truth = timeline.detections, timeline.ground_truth
        if found is None:
            found = _Nothing()
        scores = np.asarray(found.scores)
        order = np.argsort(-scores, kind='stable')
        order = order[scores[order] >= score_threshold]
        scores = scores[order]
        segments = np.asarray(found.segments)[order]
        labels = np.asarray(found.labels)[order]
        coarse = None if timeline.coarse is None else timeline.coarse[order]
        occurring = set(labels.tolist())
        if truth is not None:
            occurring |= set(np.asarray(truth.labels).tolist())
        self.rows = []
        for label in sorted(occurring & set(range(len(classes)))):
            is_truth = None if truth is None else np.asarray(truth.labels) == label
            self.rows.append(
                ClassRow(
                    label,
                    classes[label],
                    None if truth is None else np.asarray(truth.segments)[is_truth],
                    segments[labels == label],
                    scores[labels == label],
                    gap=timeline.duration * 0.002,
                    coarse=None if coarse is None else coarse[labels == label],
                )
            )
        self.subtitle = _summary(timeline, len(labels))
        self.rows_height = sum(row.height for row in self.rows) or 0.3
        self.strip_height = _STRIP if timeline.frames else 0.0
        self.height = _TITLE + self.strip_height + self.rows_height + _AXIS

    def draw(self, figure: Figure, left: float, top: float, height: float) -> None:
        """Draw into a figure of ``height`` inches, from ``top`` downwards."""
        width = _WIDTH - left - _RIGHT
        timeline = self.timeline

        def add_axes(upper: float, size: float) -> Axes:
            box = (
                left / _WIDTH,
                (upper - size) / height,
                width / _WIDTH,
                size / height,
            )
            axes = figure.add_axes(box)
            axes.set_xlim(0, timeline.duration)
            for spine in axes.spines.values():
                spine.set_visible(False)
            return axes

        y = (top - _TITLE + 0.1) / height
        style = dict(va='bottom', parse_math=False)
        figure.text(
            left / _WIDTH,
            y,
            timeline.video_id,
            fontsize=12,
            weight='bold',
            color=INK,
            **style,
        )
        figure.text(
            1 - _RIGHT / _WIDTH,
            y,
            self.subtitle,
            fontsize=9.5,
            color=FAINT,
            ha='right',
            **style,
        )
        top -= _TITLE
        if timeline.frames:
            _draw_strip(add_axes(top, _STRIP - 0.08), timeline, width / (_STRIP - 0.08))
            top -= self.strip_height
        axes = add_axes(top, self.rows_height)
        axes.set_ylim(self.rows_height, 0)
        axes.set_yticks([])
        axes.xaxis.set_major_locator(MaxNLocator(12, steps=[1, 1.5, 2, 3, 5, 6, 10]))
        axes.xaxis.set_major_formatter(FuncFormatter(_clock))
        axes.tick_params(axis='x', colors=FAINT, labelsize=9, length=3)
        axes.grid(axis='x', color=_GRID, linewidth=0.7)
        axes.set_axisbelow(True)
        y = 0.0
        for index, row in enumerate(self.rows):
            if index % 2 == 0:
                axes.axhspan(y, y + row.height, color=_STRIPE, zorder=0)
            row.draw(axes, y, timeline.duration / width)
            y += row.height
        if not self.rows:
            axes.text(
                timeline.duration / 2,
                self.rows_height / 2,
                'no action',
                ha='center',
                va='center',
                color=FAINT,
                fontsize=10,
            )


def _summary(timeline: Timeline, num_shown: int) -> str:
    """Length of the video and what is drawn of it, in words."""
    parts = [f'{timeline.duration:.1f} s']
    if timeline.ground_truth is not None:
        count = len(timeline.ground_truth.labels)
        parts.append(f'{count} action{"s" * (count != 1)}')
    if timeline.detections is not None:
        parts.append(f'{num_shown} detection{"s" * (num_shown != 1)}')
    return ' · '.join(parts)


def _draw_strip(axes: Axes, timeline: Timeline, aspect: float) -> None:
    """Frames centred on their times, each cut to its share of the strip.

    Args:
        axes (Axes): Of the strip; x in seconds.
        timeline (Timeline): With frames.
        aspect (float): Width of the strip divided by its height.
    """
    times = [time for time, _ in timeline.frames]
    share = min(np.diff(sorted(times)), default=timeline.duration)
    gap = 0.02 * share
    for time, image in timeline.frames:
        box = (time - share / 2 + gap, time + share / 2 - gap, 0, 1)
        picture = _crop(image, aspect * share / timeline.duration)
        axes.imshow(picture, extent=box, aspect='auto', interpolation='antialiased')
    axes.set(xlim=(0, timeline.duration), ylim=(0, 1), xticks=[], yticks=[])


def _crop(image: np.ndarray, aspect: float) -> np.ndarray:
    """The middle of an image (H, W, 3), of a given width : height."""
    height, width = image.shape[:2]
    new_width = min(width, max(1, round(height * aspect)))
    new_height = min(height, max(1, round(width / aspect)))
    x, y = (width - new_width) // 2, (height - new_height) // 2
    return image[y : y + new_height, x : x + new_width]


def _clock(seconds: float, _: int) -> str:
    """Tick label: seconds, or minutes and seconds."""
    if seconds < 60:
        return f'{seconds:g} s'
    minutes, rest = divmod(seconds, 60)
    return f'{minutes:.0f}:{rest:02.0f}'
