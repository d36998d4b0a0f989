"""Title and legend of timelines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from matplotlib.figure import Figure
from matplotlib.patches import Patch

from .class_row import INK, MATCH_TIOU, tint

if TYPE_CHECKING:
    from .timeline import Timeline

_GRAY = '#57606a'


def draw_head(
    figure: Figure,
    place: tuple[float, float, float],
    title: str,
    timelines: Sequence[Timeline],
    score_threshold: float,
) -> None:
    """Draw the title on the left, and on the right what the timelines show.

    Args:
        figure (Figure): To draw into.
        place (tuple[float, float, float]): Left, right and height in the figure, as
            fractions of it.
        title (str): Of the picture.
        timelines (Sequence[Timeline]): What is drawn below.
        score_threshold (float): Detections below it are left out.
    """
    left, right, y = place
    figure.text(
        left,
        y,
        title,
        fontsize=15,
        weight='bold',
        color=INK,
        va='center',
        parse_math=False,
    )
    gray = _GRAY
    with_truth = any(timeline.ground_truth is not None for timeline in timelines)
    handles = []
    if with_truth:
        handles.append(Patch(facecolor=gray, label='ground truth'))
    if any(timeline.detections is not None for timeline in timelines):
        handles.append(
            Patch(
                facecolor=tint(gray, 0.55),
                edgecolor=gray,
                label=f'detection, score ≥ {score_threshold:g}: fuller = higher',
            )
        )
        if with_truth:
            handles.append(
                Patch(
                    facecolor='white',
                    edgecolor=gray,
                    hatch='//////',
                    label=f'no ground truth at tIoU ≥ {MATCH_TIOU:g}',
                )
            )
    if any(timeline.coarse is not None for timeline in timelines):
        handles.append(Patch(facecolor=INK, label='line: before refinement'))
    figure.legend(
        handles=handles,
        loc='center right',
        ncols=max(len(handles), 1),
        frameon=False,
        bbox_to_anchor=(right, y),
        fontsize=10,
        labelcolor=INK,
        borderaxespad=0,
        handlelength=1.8,
        columnspacing=1.8,
    )
