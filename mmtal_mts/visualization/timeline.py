"""A picture of when what happens in a video, and what a model says about it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle
from matplotlib.ticker import FuncFormatter, MaxNLocator

from ..structures import Segments, pairwise_tiou
from ..utils.io import atomic_write
from .film_strip import Frame

INK, FAINT, GRID = '#24292f', '#6e7781', '#d8dee4'
_STRIPE, _GRAY = '#f6f8fa', '#57606a'
MATCH_TIOU = 0.5
"""From this tIoU with a ground-truth segment on, a detection is not hatched."""

# Distinct for every common kind of colour vision (after Okabe & Ito and P. Tol).
_PALETTE = (
    '#0072B2 #E69F00 #009E73 #D55E00 #CC79A7 #56B4E9 #332288 #999933 #882255 #44AA99 '
    '#AA4499 #117733 #B8860B #661100 #6699CC'
).split()

# Sizes in inches; the pictures are 16 inches wide.
_WIDTH, _DPI, _RIGHT = 16.0, 100, 0.35
_HEAD, _TITLE, _STRIP, _AXIS = 0.62, 0.36, 0.95, 0.55
_TRUTH_BAR, _LANE, _ROW_PAD = 0.2, 0.175, 0.09
_SCORE_WIDTH, _SCORE_HEIGHT = 0.3, 0.11
# A row grows with its lanes up to the first number; more lanes share that height.
_FULL_LANES, _MAX_LANES = 3, 10
# Height of the line of a coarse segment as a share of its lane.
_LINE = 0.2


def class_color(label: int) -> str:
    """Colour of a class."""
    return _PALETTE[label % len(_PALETTE)]


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
    timelines: Sequence[Timeline], classes: Sequence[str], score_threshold: float = 0.3
) -> np.ndarray:
    """The picture of :func:`draw_timelines` as an array (H, 1600, 3), uint8, RGB."""
    figure = _compose(timelines, classes, score_threshold)
    figure.canvas.draw()
    return np.asarray(figure.canvas.buffer_rgba())[..., :3].copy()


def _compose(
    timelines: Sequence[Timeline],
    classes: Sequence[str],
    score_threshold: float,
    title: str = '',
) -> Figure:
    """Lays the blocks of the videos out below each other."""
    if not timelines:
        raise ValueError('draw_timelines: no video to draw')
    blocks = [_Block(timeline, classes, score_threshold) for timeline in timelines]
    height = _HEAD + sum(block.height for block in blocks)
    figure = Figure(figsize=(_WIDTH, height), dpi=_DPI, facecolor='white')
    FigureCanvasAgg(figure)
    names = '\n'.join(row.name for block in blocks for row in block.rows).split('\n')
    left = float(np.clip(0.095 * max(map(len, names)) + 0.35, 1.2, 3.2))
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
        handles.append(
            Patch(facecolor=_tint(_GRAY, 0.55), edgecolor=_GRAY, label=label)
        )
        if with_truth:
            label = f'no ground truth at tIoU ≥ {MATCH_TIOU:g}'
            style = dict(facecolor='white', edgecolor=_GRAY, hatch='//////')
            handles.append(Patch(label=label, **style))
    if any(timeline.coarse is not None for timeline in timelines):
        handles.append(Patch(facecolor=INK, label='line: before refinement'))
    place = dict(loc='center right', bbox_to_anchor=(1 - _RIGHT / _WIDTH, y))
    style = dict(frameon=False, fontsize=10, labelcolor=INK, borderaxespad=0)
    sizes = dict(ncols=max(len(handles), 1), handlelength=1.8, columnspacing=1.8)
    figure.legend(handles=handles, **place, **style, **sizes)


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
        found, facts = timeline.detections, [f'{timeline.duration:.1f} s']
        if truth is not None:
            facts.append(f'{len(truth)} action{"s" * (len(truth) != 1)}')
        if found is None:
            found = Segments.empty(with_scores=True)
        order = np.argsort(-found.scores, kind='stable')
        order = order[found.scores[order] >= score_threshold]
        found = found[order]
        coarse = None if coarse is None else coarse[order]
        if timeline.detections is not None:
            facts.append(f'{len(found)} detection{"s" * (len(found) != 1)}')
        self.subtitle = ' · '.join(facts)
        occurring = {*found.labels.tolist()}
        if truth is not None:
            occurring |= {*truth.labels.tolist()}
        self.rows = []
        for label in sorted(occurring & set(range(len(classes)))):
            own = found.labels == label
            self.rows.append(
                _ClassRow(
                    label,
                    classes[label],
                    None if truth is None else truth.segments[truth.labels == label],
                    found[own],
                    gap=timeline.duration * 0.002,
                    coarse=None if coarse is None else coarse[own],
                )
            )
        self.rows_height = sum(row.height for row in self.rows) or 0.3
        self.strip_height = _STRIP if timeline.frames else 0.0
        self.height = _TITLE + self.strip_height + self.rows_height + _AXIS

    def draw(self, figure: Figure, left: float, top: float, height: float) -> None:
        """Draws into a figure of ``height`` inches, from ``top`` downwards."""
        width = _WIDTH - left - _RIGHT
        timeline = self.timeline
        begin, end = left / _WIDTH, 1 - _RIGHT / _WIDTH

        def add_axes(upper: float, size: float) -> Axes:
            box = (begin, (upper - size) / height, width / _WIDTH, size / height)
            axes = figure.add_axes(box, xlim=(0, timeline.duration))
            axes.spines[:].set_visible(False)
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
        axes.set(ylim=(self.rows_height, 0), yticks=[])
        axes.xaxis.set_major_locator(MaxNLocator(12, steps=[1, 1.5, 2, 3, 5, 6, 10]))
        axes.xaxis.set_major_formatter(FuncFormatter(_clock))
        axes.tick_params(axis='x', colors=FAINT, labelsize=9, length=3)
        axes.grid(axis='x', color=GRID, linewidth=0.7)
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


class _ClassRow:
    """One class of one video: its segments (in seconds), packed into lanes.

    Detections come by descending score; those in a lane are ``gap`` seconds apart.
    Without ``truth`` (G, 2) its bar is left out; ``coarse`` (S, 2) are lines below.
    """

    def __init__(
        self,
        label: int,
        name: str,
        truth: np.ndarray | None,
        found: Segments,
        gap: float,
        coarse: np.ndarray | None = None,
    ) -> None:
        self.color = class_color(label)
        self.truth = np.zeros((0, 2)) if truth is None else truth
        self.truth_height = 0.0 if truth is None else _TRUTH_BAR
        self.found, self.coarse = found, coarse
        tiou = pairwise_tiou(found.segments, self.truth)
        self.matched = tiou.max(axis=1, initial=0.0) >= MATCH_TIOU
        self.lanes = _pack(found.segments, gap)
        hidden = int((self.lanes >= _MAX_LANES).sum())
        self.name = f'{name}\n+ {hidden} not drawn' if hidden else name
        self.num_lanes = min(int(self.lanes.max(initial=-1)) + 1, _MAX_LANES)
        lane = _LANE if coarse is None else _LANE / (1 - _LINE)
        self.lanes_height = lane * min(self.num_lanes, _FULL_LANES)
        height = max(self.truth_height + self.lanes_height, _TRUTH_BAR)
        self.height = height + 2 * _ROW_PAD

    def draw(self, axes: Axes, top: float, seconds_per_inch: float) -> None:
        """Draws into axes whose y is in inches, downwards."""
        y = top + _ROW_PAD
        for segment in self.truth:
            _bar(axes, segment, y, _TRUTH_BAR - 0.03, self.color, self.color)
        y += self.truth_height
        lane_height = self.lanes_height / max(self.num_lanes, 1)
        height = lane_height - 0.03 if lane_height > 0.1 else 0.8 * lane_height
        line = 0.0 if self.coarse is None else _LINE * lane_height
        height -= line
        for row in np.flatnonzero(self.lanes < _MAX_LANES):
            segment, score = self.found.segments[row], self.found.scores[row]
            lane_y = y + self.lanes[row] * lane_height
            fill = _tint(self.color, 0.25 + 0.75 * np.clip(score, 0.0, 1.0))
            hatched = self.truth_height > 0 and not self.matched[row]
            if hatched:
                style = dict(hatch='//////', linewidth=0.9)
                _bar(axes, segment, lane_y, height, 'white', fill, **style)
            else:
                _bar(axes, segment, lane_y, height, fill, self.color)
            if self.coarse is not None:
                _bar(axes, self.coarse[row], lane_y + height, line, INK, INK)
            if height >= _SCORE_HEIGHT:
                middle = lane_y + height / 2
                inside = None if hatched else fill
                self._write_score(axes, row, middle, inside, seconds_per_inch)
        style = dict(
            ha='right', va='center', fontsize=10.5, color=INK, parse_math=False
        )
        place = (0, top + self.height / 2)
        systems = dict(xycoords=('axes fraction', 'data'), textcoords='offset points')
        axes.annotate(self.name, place, xytext=(-10, 0), **systems, **style)

    def _write_score(
        self,
        axes: Axes,
        row: int,
        y: float,
        fill: np.ndarray | None,
        seconds_per_inch: float,
    ) -> None:
        """Writes a score into its bar, or behind it, or nowhere if neither fits."""
        start, end = self.found.segments[row]
        needed = _SCORE_WIDTH * seconds_per_inch
        style = dict(va='center', fontsize=7.5, clip_on=True)
        text = f'{self.found.scores[row]:.2f}'
        if end - start >= 1.2 * needed and fill is not None:
            color = 'white' if fill @ (0.299, 0.587, 0.114) < 0.6 else INK
            axes.text((start + end) / 2, y, text, ha='center', color=color, **style)
            return
        others = self.found.segments[self.lanes == self.lanes[row], 0]
        following = others[others > start].min(initial=axes.get_xlim()[1])
        if end + 1.3 * needed <= following:
            gap = 0.04 * seconds_per_inch
            axes.text(end + gap, y, text, ha='left', color=FAINT, **style)


def _pack(segments: np.ndarray, gap: float) -> np.ndarray:
    """Lane (S,) of each segment: the first where it overlaps no earlier one."""
    lanes = np.zeros(len(segments), dtype=np.int64)
    for row, (start, end) in enumerate(segments):
        earlier = segments[:row]
        clash = (earlier[:, 0] < end + gap) & (earlier[:, 1] > start - gap)
        taken = set(lanes[:row][clash].tolist())
        lanes[row] = next(lane for lane in range(row + 1) if lane not in taken)
    return lanes


def _tint(color: str, strength: float) -> np.ndarray:
    """A colour mixed with white: 1 is the colour, 0 is white."""
    return 1 - strength * (1 - np.array(to_rgb(color)))


def _bar(
    axes: Axes, segment: np.ndarray, y: float, height: float, fill, edge, **style
) -> None:
    """One segment; ``fill`` and ``edge`` are colours."""
    style = dict(dict(facecolor=fill, edgecolor=edge, linewidth=0.6), **style)
    start, end = segment
    axes.add_patch(Rectangle((start, y), end - start, height, zorder=2, **style))


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
    minutes, rest = divmod(seconds, 60)
    return f'{minutes:.0f}:{rest:02.0f}' if minutes else f'{seconds:g} s'
