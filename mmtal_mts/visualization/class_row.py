"""The row of one class in a timeline."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.patches import Rectangle

from ..structures import Segments, pairwise_tiou

INK, FAINT = '#24292f', '#6e7781'
MATCH_TIOU = 0.5
"""From this tIoU with a ground-truth segment on, a detection is not hatched."""

# Distinct for every common kind of colour vision (after Okabe & Ito and P. Tol).
_PALETTE = (
    '#0072B2 #E69F00 #009E73 #D55E00 #CC79A7 #56B4E9 #332288 #999933 #882255 #44AA99 '
    '#AA4499 #117733 #B8860B #661100 #6699CC'
).split()

# Sizes in inches.
_TRUTH_BAR, _LANE, _ROW_PAD = 0.2, 0.175, 0.09
_SCORE_WIDTH, _SCORE_HEIGHT = 0.3, 0.11
# A row grows with its lanes up to the first number; more lanes share that height.
_FULL_LANES, _MAX_LANES = 3, 10
# Height of the line of a coarse segment as a share of its lane.
_LINE = 0.2


def class_color(label: int) -> str:
    """Colour of a class."""
    return _PALETTE[label % len(_PALETTE)]


def tint(color: str, strength: float) -> np.ndarray:
    """A colour mixed with white: 1 is the colour, 0 is white."""
    return 1 - strength * (1 - np.array(to_rgb(color)))


class ClassRow:
    """One class of one video: its segments, packed into lanes.

    Args:
        label: The class; decides the colour.
        name: Of the class.
        truth: Ground truth (G, 2) in seconds; None where it is not known, which leaves
            out its bar.
        found: Its detections (S) in seconds, by descending score.
        gap: Least distance in seconds of two detections in a lane.
        coarse: (S, 2) segments that the detections were refined from; drawn as a line
            below each.
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
        self.has_truth = truth is not None
        self.truth = np.zeros((0, 2)) if truth is None else truth
        self.found, self.coarse = found, coarse
        tiou = pairwise_tiou(found.segments, self.truth)
        self.matched = tiou.max(axis=1, initial=0.0) >= MATCH_TIOU
        self.lanes = _pack(found.segments, gap)
        hidden = int((self.lanes >= _MAX_LANES).sum())
        self.name = f'{name}\n+ {hidden} not drawn' if hidden else name
        self.num_lanes = min(int(self.lanes.max(initial=-1)) + 1, _MAX_LANES)
        lane = _LANE if coarse is None else _LANE / (1 - _LINE)
        self.lanes_height = lane * min(self.num_lanes, _FULL_LANES)
        truth_height = _TRUTH_BAR if self.has_truth else 0.0
        self.height = max(truth_height + self.lanes_height, _TRUTH_BAR) + 2 * _ROW_PAD

    def draw(self, axes: Axes, top: float, seconds_per_inch: float) -> None:
        """Draws into axes whose y is in inches, downwards."""
        y = top + _ROW_PAD
        for segment in self.truth:
            _bar(axes, segment, y, _TRUTH_BAR - 0.03, self.color, self.color)
        y += _TRUTH_BAR if self.has_truth else 0.0
        lane_height = self.lanes_height / max(self.num_lanes, 1)
        height = lane_height - 0.03 if lane_height > 0.1 else 0.8 * lane_height
        line = 0.0 if self.coarse is None else _LINE * lane_height
        height -= line
        for row in np.flatnonzero(self.lanes < _MAX_LANES):
            segment, score = self.found.segments[row], self.found.scores[row]
            lane_y = y + self.lanes[row] * lane_height
            fill = tint(self.color, 0.25 + 0.75 * np.clip(score, 0.0, 1.0))
            hatched = self.has_truth and not self.matched[row]
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
        axes.annotate(
            self.name,
            (0, top + self.height / 2),
            xycoords=('axes fraction', 'data'),
            xytext=(-10, 0),
            textcoords='offset points',
            ha='right',
            va='center',
            fontsize=10.5,
            color=INK,
            parse_math=False,
        )

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


def _bar(
    axes: Axes,
    segment: np.ndarray,
    y: float,
    height: float,
    fill: str | np.ndarray,
    edge: str | np.ndarray,
    **style: object,
) -> None:
    """One segment."""
    style = dict(dict(facecolor=fill, edgecolor=edge, linewidth=0.6), **style)
    start, end = segment
    axes.add_patch(Rectangle((start, y), end - start, height, zorder=2, **style))
