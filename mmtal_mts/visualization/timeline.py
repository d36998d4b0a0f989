"""Pictures of segments on a time axis."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator
from PIL import Image

from ..structures import Segments, frames_to_seconds, pairwise_tiou
from ..utils.io import atomic_write

INK, FAINT, GRID = '#24292f', '#6e7781', '#d8dee4'
_STRIPE, _GRAY = '#f6f8fa', '#57606a'
MATCH_TIOU = 0.5
"""From this tIoU with a ground-truth segment on, a detection is not hatched."""
STRIP_ASPECT = 16.0
"""Width of a strip of frames divided by its height, about."""

# Distinct for every common kind of colour vision (after Okabe & Ito and P. Tol).
_PALETTE = (
    '#0072B2 #E69F00 #009E73 #D55E00 #CC79A7 #56B4E9 #332288 #999933 #882255 #44AA99 '
    '#AA4499 #117733 #B8860B #661100 #6699CC'
).split()

# Sizes in inches; the pictures are 16 inches wide.
_WIDTH, _DPI, _RIGHT = 16.0, 100, 0.35
_HEAD, _TITLE, _STRIP, _AXIS = 0.62, 0.36, 0.95, 0.55
_TRUTH_BAR, _LANE, _ROW_PAD, _GAP = 0.2, 0.175, 0.09, 0.03
_SCORE_WIDTH, _SCORE_HEIGHT = 0.3, 0.11
# A row grows with its lanes up to the first number; more lanes share that height.
_FULL_LANES, _MAX_LANES = 3, 10
# Height of the line of a coarse segment as a share of its lane.
_LINE = 0.2


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
    frames: Sequence[tuple[float, np.ndarray]] = ()
    coarse: np.ndarray | None = None


def class_color(label: int) -> str:
    """Returns the colour of a class, like ``#0072B2``."""
    return _PALETTE[label % len(_PALETTE)]


def clip_frames(clip: np.ndarray, sample_fps: float) -> list[tuple[float, np.ndarray]]:
    """Picks as many frames of a clip, evenly spread, as fit in a strip.

    Args:
        clip: (C, T, H, W) in 0..255: three channels are RGB, two are optical flow,
            shown as red and green. Features (C, T) have no pictures.
        sample_fps: Frames per second of the clip.

    Returns:
        Times in the clip in seconds and pictures (H, W, 3) uint8.
    """
    if clip.ndim == 2:
        return []
    channels, length, height, width = clip.shape
    count = int(np.clip(round(STRIP_ASPECT * height / width), 1, length))
    positions = (np.arange(count) + 0.5) * length / count
    images = clip[:, positions.astype(int)].transpose(1, 2, 3, 0).astype(np.uint8)
    if channels == 2:
        images = np.concatenate([images, np.full_like(images[..., :1], 127)], axis=-1)
    times = frames_to_seconds(positions, sample_fps)
    return list(zip(times.tolist(), images, strict=True))


def write_picture(path: str | os.PathLike, picture: np.ndarray) -> None:
    """Writes a picture (H, W, 3) uint8 RGB to a PNG file; missing folders are made."""
    with atomic_write(path) as temporary:
        Image.fromarray(picture).save(temporary, 'png')


def render_timelines(
    timelines: Sequence[Timeline],
    classes: Sequence[str],
    score_thr: float = 0.3,
    title: str = '',
) -> np.ndarray:
    """Draws several videos below each other.

    Each video has its frames along the time axis, and a row for every class that
    occurs: the ground truth as one bar, the detections in lanes below it, the best
    on top. The fuller the colour of a detection, the higher its score; it is
    hatched if its tIoU with every ground-truth segment of its class is below 0.5.

    Args:
        timelines: At least one.
        classes: Names of the labels 0..K-1.
        score_thr: Detections with lower scores are not drawn.
        title: Of the whole picture.

    Returns:
        The picture (H, 1600, 3), uint8, RGB.

    Raises:
        ValueError: There is nothing to draw or a duration is not positive.
    """
    if not timelines:
        raise ValueError('render_timelines: no video to draw')
    left = float(np.clip(0.095 * max(map(len, classes)) + 0.35, 1.6, 3.2))
    width = _WIDTH - left - _RIGHT
    figure = Figure(dpi=_DPI, facecolor='white')
    canvas, blocks = FigureCanvasAgg(figure), []
    for timeline in timelines:
        axes = figure.add_axes((0, 0, 1, 1), label=f'{len(blocks)}')
        size = _draw_video(axes, timeline, classes, score_thr, width)
        blocks.append((axes, size))
    # The height follows from what was drawn.
    height = _HEAD + sum(size + _AXIS for _, size in blocks)
    figure.set_size_inches(_WIDTH, height)
    top = height - _HEAD
    for axes, size in blocks:
        box = left / _WIDTH, (top - size) / height, width / _WIDTH, size / height
        axes.set_position(box)
        top -= size + _AXIS
    y = 1 - 0.3 / height
    style = dict(fontsize=15, weight='bold', color=INK, va='center', parse_math=False)
    figure.text(left / _WIDTH, y, title, **style)
    _draw_legend(figure, y, timelines, score_thr)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def _draw_legend(
    figure: Figure, y: float, timelines: Sequence[Timeline], score_thr: float
) -> None:
    """Says on the right what the timelines show."""
    truth, found, coarse = (
        any(getattr(timeline, name) is not None for timeline in timelines)
        for name in ('ground_truth', 'detections', 'coarse')
    )
    score = f'detection, score ≥ {score_thr:g}: fuller = higher'
    missed = f'no ground truth at tIoU ≥ {MATCH_TIOU:g}'
    tint = _tint(_GRAY, 0.55)
    entries = [
        (truth, dict(label='ground truth', facecolor=_GRAY)),
        (found, dict(label=score, facecolor=tint, edgecolor=_GRAY)),
        (truth and found, dict(label=missed, fc='white', ec=_GRAY, hatch='//////')),
        (coarse, dict(label='line: before refinement', facecolor=INK)),
    ]
    handles = [Patch(**style) for is_shown, style in entries if is_shown]
    place = dict(loc='center right', bbox_to_anchor=(1 - _RIGHT / _WIDTH, y))
    style = dict(frameon=False, fontsize=10, labelcolor=INK, borderaxespad=0)
    sizes = dict(ncols=max(len(handles), 1), handlelength=1.8, columnspacing=1.8)
    figure.legend(handles=handles, **place, **style, **sizes)


def _draw_video(
    axes: Axes, timeline: Timeline, classes: Sequence[str], thr: float, width: float
) -> float:
    """Draws a video into axes whose y is in inches, downwards; returns its height."""
    duration, truth, coarse = timeline.duration, timeline.ground_truth, timeline.coarse
    if not duration > 0:
        raise ValueError(
            f'video {timeline.video_id}: duration must be positive, got {duration}'
        )
    found = timeline.detections or Segments.empty(with_scores=True)
    order = np.argsort(-found.scores, kind='stable')
    order = order[found.scores[order] >= thr]
    found, coarse = found[order], None if coarse is None else coarse[order]
    facts, labels = [f'{duration:.1f} s'], {*found.labels.tolist()}
    if truth is not None:
        facts.append(f'{len(truth)} action{"s" * (len(truth) != 1)}')
        labels |= {*truth.labels.tolist()}
    if timeline.detections is not None:
        facts.append(f'{len(found)} detection{"s" * (len(found) != 1)}')
    place = dict(y=_TITLE - 0.1, va='bottom', parse_math=False)
    name = dict(fontsize=12, weight='bold', color=INK)
    axes.text(0, s=timeline.video_id, **name, **place)
    style = dict(fontsize=9.5, color=FAINT, ha='right')
    axes.text(duration, s=' · '.join(facts), **style, **place)
    top = _TITLE
    if timeline.frames:
        _draw_strip(axes, timeline, top, width)
        top += _STRIP
    # The grid begins below.
    axes.axhspan(0, top, color='white', zorder=1)
    y = top
    for index, label in enumerate(sorted(labels & set(range(len(classes))))):
        own = found.labels == label
        row = replace(
            timeline,
            video_id=classes[label],
            detections=found[own],
            ground_truth=None if truth is None else truth[truth.labels == label],
            coarse=None if coarse is None else coarse[own],
        )
        size = _draw_row(axes, row, class_color(label), y, duration / width)
        if index % 2 == 0:
            axes.axhspan(y, y + size, color=_STRIPE, zorder=0)
        y += size
    if y == top:
        y += 0.3
        style = dict(ha='center', va='center', color=FAINT, fontsize=10)
        axes.text(duration / 2, y - 0.15, 'no action', **style)
    axes.spines[:].set_visible(False)
    axes.set(xlim=(0, duration), ylim=(y, 0), yticks=[], axisbelow=True)
    axes.xaxis.set_major_locator(MaxNLocator(12, steps=[1, 1.5, 2, 3, 5, 6, 10]))
    axes.xaxis.set_major_formatter(_clock)
    axes.tick_params(axis='x', colors=FAINT, labelsize=9, length=3)
    axes.grid(axis='x', color=GRID, linewidth=0.7)
    return y


def _draw_row(axes: Axes, row: Timeline, color: str, top: float, inch: float) -> float:
    """Draws a class, an ``inch`` being so many seconds; returns its height."""

    def bar(segment, y, height, fill, edge, **style):
        style = dict(dict(align='edge', linewidth=0.6, zorder=2), **style)
        start, end = segment
        axes.barh(y, end - start, height, start, color=fill, edgecolor=edge, **style)

    found, coarse, y = row.detections, row.coarse, top + _ROW_PAD
    is_hit = np.ones(len(found), dtype=bool)
    if row.ground_truth is not None:
        truth = row.ground_truth.segments
        for segment in truth:
            bar(segment, y, _TRUTH_BAR - _GAP, color, color)
        y += _TRUTH_BAR
        tiou = pairwise_tiou(found.segments, truth)
        is_hit = tiou.max(axis=1, initial=0.0) >= MATCH_TIOU
    lanes = _pack(found.segments, 0.002 * row.duration)
    count = min(int(lanes.max(initial=-1)) + 1, _MAX_LANES)
    lane = _LANE * min(1, _FULL_LANES / max(count, 1))
    lane /= 1 if coarse is None else 1 - _LINE
    line = 0 if coarse is None else _LINE * lane
    height = (lane - _GAP if lane > 0.1 else 0.8 * lane) - line
    for index in np.flatnonzero(lanes < _MAX_LANES):
        segment, score = found.segments[index], found.scores[index]
        fill = _tint(color, 0.25 + 0.75 * np.clip(score, 0, 1))
        upper, (start, end) = y + lanes[index] * lane, segment
        if is_hit[index]:
            bar(segment, upper, height, fill, color)
        else:
            bar(segment, upper, height, 'white', fill, hatch='//////', linewidth=0.9)
        if coarse is not None:
            bar(coarse[index], upper + height, line, INK, INK)
        if height < _SCORE_HEIGHT:
            continue
        # The score is written in the bar, or behind it, or nowhere if neither has room.
        others = found.segments[lanes == lanes[index], 0]
        following = others[others > start].min(initial=row.duration)
        middle, text = upper + height / 2, f'{score:.2f}'
        style = dict(va='center', fontsize=7.5, clip_on=True)
        if is_hit[index] and end - start >= 1.2 * _SCORE_WIDTH * inch:
            ink = 'white' if fill @ (0.299, 0.587, 0.114) < 0.6 else INK
            axes.text((start + end) / 2, middle, text, color=ink, ha='center', **style)
        elif end + 1.3 * _SCORE_WIDTH * inch <= following:
            axes.text(end + 0.04 * inch, middle, text, color=FAINT, **style)
    size = max(y + count * lane, top + _ROW_PAD + _TRUTH_BAR) + _ROW_PAD - top
    hidden = int((lanes >= _MAX_LANES).sum())
    name = row.video_id + (f'\n+ {hidden} not drawn' if hidden else '')
    style = dict(ha='right', va='center', fontsize=10.5, color=INK, parse_math=False)
    axes.text(-0.14 * inch, top + size / 2, name, **style)
    return size


def _pack(segments: np.ndarray, gap: float) -> np.ndarray:
    """Lane (S,) of each segment: the first where it overlaps no earlier one."""
    lanes = np.zeros(len(segments), dtype=np.int64)
    for row, (start, end) in enumerate(segments):
        earlier = segments[:row]
        clash = (earlier[:, 0] < end + gap) & (earlier[:, 1] > start - gap)
        lanes[row] = min(set(range(row + 1)) - set(lanes[:row][clash].tolist()))
    return lanes


def _draw_strip(axes: Axes, timeline: Timeline, top: float, width: float) -> None:
    """Draws frames centred on their times, each cut to its share of the strip."""
    times, size = [time for time, _ in timeline.frames], _STRIP - 0.08
    share = min(np.diff(sorted(times)), default=timeline.duration)
    aspect = share / timeline.duration * width / size
    for time, image in timeline.frames:
        height, width = image.shape[:2]
        new_width = min(width, max(1, round(height * aspect)))
        new_height = min(height, max(1, round(width / aspect)))
        x, y = (width - new_width) // 2, (height - new_height) // 2
        picture = image[y : y + new_height, x : x + new_width]
        box = (time - 0.48 * share, time + 0.48 * share, top + size, top)
        axes.imshow(picture, extent=box, aspect='auto', zorder=2)


def _tint(color: str, strength: float) -> np.ndarray:
    """A colour mixed with white: 1 is the colour, 0 is white."""
    return 1 - strength * (1 - np.array(to_rgb(color)))


def _clock(seconds: float, _: int) -> str:
    """Tick label: seconds, or minutes and seconds."""
    minutes, rest = divmod(seconds, 60)
    return f'{minutes:.0f}:{rest:02.0f}' if minutes else f'{seconds:g} s'
