"""A picture of when what happens in a video, and what a model says about it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, MaxNLocator

from ..structures import Segments
from ..utils.io import atomic_write
from .class_row import FAINT, INK, MATCH_TIOU, ClassRow, tint
from .film_strip import Frame

_STRIPE, _GRID, _GRAY = '#f6f8fa', '#d8dee4', '#57606a'

# Sizes in inches; the pictures are 16 inches wide.
_WIDTH, _DPI, _RIGHT = 16.0, 100, 0.35
_HEAD, _TITLE, _STRIP, _AXIS = 0.62, 0.36, 0.95, 0.55


@dataclass(frozen=True)
class Timeline:
    """What is drawn of one video.

    Attributes:
        video_id: Shown above.
        duration: Seconds.
        detections: In seconds, with scores; None where only the ground truth is shown.
        ground_truth: In seconds; None where it is not known.
        frames: Seconds and pictures (H, W, 3), uint8, RGB.
        coarse: (S, 2) seconds, the segments that the detections were refined from.
    """

    video_id: str
    duration: float
    detections: Segments | None
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
    """Draws one video into a PNG file; see :func:`draw_timelines`."""
    draw_timelines(out_path, [timeline], classes, score_threshold, title)


def draw_timelines(
    out_path: str | os.PathLike,
    timelines: Sequence[Timeline],
    classes: Sequence[str],
    score_threshold: float = 0.3,
    title: str = '',
) -> None:
    """Draws several videos below each other into a PNG file, 1600 pixels wide.

    Each video has its frames along the time axis, and a row for every class that
    occurs: the ground truth as one bar, the detections in lanes below it, the best
    on top. The fuller the colour of a detection, the higher its score; it is
    hatched if its tIoU with every ground-truth segment of its class is below 0.5.

    Args:
        out_path: PNG file to write; missing folders are made.
        timelines: At least one.
        classes: Names of the labels 0..K-1.
        score_threshold: Detections with lower scores are not drawn.
        title: Of the whole picture.

    Raises:
        ValueError: There is nothing to draw or a duration is not positive.
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
    """The picture of :func:`draw_timelines` as an array (H, 1600, 3), uint8, RGB."""
    figure = _compose(timelines, classes, score_threshold, title)
    figure.canvas.draw()
    return np.asarray(figure.canvas.buffer_rgba())[..., :3].copy()


def _compose(
    timelines: Sequence[Timeline],
    classes: Sequence[str],
    score_threshold: float,
    title: str,
) -> Figure:
    """Lays the blocks of the videos out below each other."""
    if not timelines:
        raise ValueError('draw_timelines: no video to draw')
    blocks = [_Block(timeline, classes, score_threshold) for timeline in timelines]
    height = _HEAD + sum(block.height for block in blocks)
    figure = Figure(figsize=(_WIDTH, height), dpi=_DPI, facecolor='white')
    FigureCanvasAgg(figure)
    lines = [
        line for block in blocks for row in block.rows for line in row.name.split('\n')
    ]
    left = float(np.clip(0.095 * max(map(len, lines), default=0) + 0.35, 1.2, 3.2))
    y = 1 - 0.3 / height
    style = dict(fontsize=15, weight='bold', color=INK, va='center', parse_math=False)
    figure.text(left / _WIDTH, y, title, **style)
    _draw_legend(figure, y, timelines, score_threshold)
    top = height - _HEAD
    for block in blocks:
        block.draw(figure, left, top, height)
        top -= block.height
    return figure


def _draw_legend(
    figure: Figure, y: float, timelines: Sequence[Timeline], score_threshold: float
) -> None:
    """Says on the right, ``y`` above the bottom, what the timelines show."""
    with_truth = any(timeline.ground_truth is not None for timeline in timelines)
    handles = []
    if with_truth:
        handles.append(Patch(facecolor=_GRAY, label='ground truth'))
    if any(timeline.detections is not None for timeline in timelines):
        label = f'detection, score ≥ {score_threshold:g}: fuller = higher'
        fill = tint(_GRAY, 0.55)
        handles.append(Patch(facecolor=fill, edgecolor=_GRAY, label=label))
        if with_truth:
            label = f'no ground truth at tIoU ≥ {MATCH_TIOU:g}'
            style = dict(facecolor='white', edgecolor=_GRAY, hatch='//////')
            handles.append(Patch(label=label, **style))
    if any(timeline.coarse is not None for timeline in timelines):
        handles.append(Patch(facecolor=INK, label='line: before refinement'))
    figure.legend(
        handles=handles,
        loc='center right',
        ncols=max(len(handles), 1),
        frameon=False,
        bbox_to_anchor=(1 - _RIGHT / _WIDTH, y),
        fontsize=10,
        labelcolor=INK,
        borderaxespad=0,
        handlelength=1.8,
        columnspacing=1.8,
    )


class _Block:
    """The part of a picture that shows one video."""

    def __init__(
        self, timeline: Timeline, classes: Sequence[str], score_threshold: float
    ) -> None:
        if not timeline.duration > 0:
            raise ValueError(
                f'video {timeline.video_id}: duration must be positive, got '
                f'{timeline.duration}'
            )
        self.timeline = timeline
        truth, coarse = timeline.ground_truth, timeline.coarse
        found = timeline.detections
        if found is None:
            found = Segments.empty(with_scores=True)
        order = np.argsort(-found.scores, kind='stable')
        order = order[found.scores[order] >= score_threshold]
        found = found[order]
        coarse = None if coarse is None else coarse[order]
        occurring = {*found.labels.tolist()}
        if truth is not None:
            occurring |= {*truth.labels.tolist()}
        self.rows = []
        for label in sorted(occurring & set(range(len(classes)))):
            own = found.labels == label
            self.rows.append(
                ClassRow(
                    label,
                    classes[label],
                    None if truth is None else truth.segments[truth.labels == label],
                    found[own],
                    gap=timeline.duration * 0.002,
                    coarse=None if coarse is None else coarse[own],
                )
            )
        self.subtitle = _summary(timeline, len(found))
        self.rows_height = sum(row.height for row in self.rows) or 0.3
        self.strip_height = _STRIP if timeline.frames else 0.0
        self.height = _TITLE + self.strip_height + self.rows_height + _AXIS

    def draw(self, figure: Figure, left: float, top: float, height: float) -> None:
        """Draws into a figure of ``height`` inches, from ``top`` downwards."""
        width = _WIDTH - left - _RIGHT
        timeline = self.timeline
        begin, end = left / _WIDTH, 1 - _RIGHT / _WIDTH

        def add_axes(upper: float, size: float) -> Axes:
            axes = figure.add_axes(
                (begin, (upper - size) / height, width / _WIDTH, size / height)
            )
            axes.set_xlim(0, timeline.duration)
            for spine in axes.spines.values():
                spine.set_visible(False)
            return axes

        y = (top - _TITLE + 0.1) / height
        style = dict(va='bottom', parse_math=False)
        name = timeline.video_id
        figure.text(begin, y, name, fontsize=12, weight='bold', color=INK, **style)
        style.update(fontsize=9.5, color=FAINT, ha='right')
        figure.text(end, y, self.subtitle, **style)
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
            place = (timeline.duration / 2, self.rows_height / 2)
            style = dict(ha='center', va='center', color=FAINT, fontsize=10)
            axes.text(*place, 'no action', **style)


def _summary(timeline: Timeline, num_shown: int) -> str:
    """Length of the video and what is drawn of it, in words."""
    parts = [f'{timeline.duration:.1f} s']
    if timeline.ground_truth is not None:
        count = len(timeline.ground_truth)
        parts.append(f'{count} action{"s" * (count != 1)}')
    if timeline.detections is not None:
        parts.append(f'{num_shown} detection{"s" * (num_shown != 1)}')
    return ' · '.join(parts)


def _draw_strip(axes: Axes, timeline: Timeline, aspect: float) -> None:
    """Frames centred on their times, each cut to its share of the strip."""
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
