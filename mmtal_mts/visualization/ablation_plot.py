"""Plots of variants with the spread of their seeds."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from mmtal_mts.utils.io import atomic_write

from .class_row import FAINT, INK

_MARK, _DOT, _GRID = '#0072B2', '#8c959f', '#d8dee4'


@dataclass(frozen=True)
class PlotLine:
    """One variant.

    Attributes:
        name (str): Of the variant.
        by_seed (Sequence[float]): Values of the seeds in [0, 1].
        mean (float): Of them.
        deviation (float): Standard deviation; NaN for one seed.
        value (float, optional): Place on the axis of a curve.
    """

    name: str
    by_seed: Sequence[float]
    mean: float
    deviation: float
    value: float | None = None


def draw_ablation(
    out_path: str | os.PathLike,
    lines: Sequence[PlotLine],
    title: str,
    axis: str | None = None,
    subtitle: str = '',
) -> None:
    """Draws means with error bars (standard deviation) and every seed as a dot.

    Args:
        out_path (str | os.PathLike): PNG file to write; missing folders are made.
        lines (Sequence[PlotLine]): Variants in the order of the table; at least one.
        title (str): Of the picture.
        axis (str, optional): Draws a curve over ``value``, whose name this is, instead
            of one line a variant.
        subtitle (str): What a value is.
    """
    # Names come from files: a dollar sign is not the start of a formula.
    with matplotlib.rc_context({'text.parse_math': False, 'font.size': 10}):
        height = 4.2 if axis else 1.7 + 0.46 * len(lines)
        figure = Figure(
            figsize=(7.6, height), dpi=130, facecolor='white', layout='constrained'
        )
        FigureCanvasAgg(figure)
        axes = figure.subplots()
        if axis:
            _draw_curve(axes, lines, axis)
        else:
            _draw_variants(axes, lines)
        for side in ('top', 'right', 'left'):
            axes.spines[side].set_visible(False)
        axes.spines['bottom'].set_color(_GRID)
        axes.tick_params(colors=INK, length=0)
        axes.set_axisbelow(True)
        axes.set_title(f'{title}\n', loc='left', color=INK, weight='bold')
        note = 'one value each'
        if any(len(line.by_seed) > 1 for line in lines):
            note = 'mean, standard deviation, and each seed'
        axes.text(
            0.0,
            1.03,
            f'{subtitle}: {note}' if subtitle else note,
            transform=axes.transAxes,
            color=FAINT,
            fontsize=8.5,
        )
        with atomic_write(out_path) as temporary:
            figure.savefig(temporary, format='png')


def _draw_variants(axes: Axes, lines: Sequence[PlotLine]) -> None:
    places = np.arange(len(lines))[::-1]
    for place, line in zip(places, lines):
        values = 100 * np.asarray(line.by_seed)
        # Beside the bar, so that neither hides the other.
        axes.plot(values, np.full(len(values), place - 0.2), 'o', color=_DOT, ms=3.5)
    axes.errorbar(
        [100 * line.mean for line in lines],
        places,
        xerr=[_bar(line) for line in lines],
        fmt='o',
        color=_MARK,
        ms=6,
        capsize=3,
        lw=1.6,
    )
    for place, line in zip(places, lines):
        axes.annotate(
            f'{100 * line.mean:.1f}',
            (100 * line.mean, place),
            (0, 6),
            textcoords='offset points',
            ha='center',
            color=INK,
            fontsize=9,
        )
    axes.axvline(100 * lines[0].mean, color=_GRID, lw=1, ls='--', zorder=0)
    axes.set_yticks(places, [line.name for line in lines])
    axes.set_ylim(-0.6, len(lines) - 0.3)
    axes.margins(x=0.08)
    axes.grid(axis='x', color=_GRID, lw=0.6)
    axes.set_xlabel('average mAP in %', color=INK)


def _draw_curve(axes: Axes, lines: Sequence[PlotLine], axis: str) -> None:
    lines = sorted(lines, key=lambda line: line.value)
    values = [line.value for line in lines]
    for line in lines:
        seeds = 100 * np.asarray(line.by_seed)
        place = np.full(len(seeds), line.value)
        axes.plot(place, seeds, 'o', color=_DOT, ms=3.5, zorder=3)
    axes.errorbar(
        values,
        [100 * line.mean for line in lines],
        yerr=[_bar(line) for line in lines],
        fmt='-o',
        color=_MARK,
        ms=6,
        capsize=3,
        lw=1.6,
    )
    for line, following in zip(lines, [*lines[1:], None]):
        # Right of the point, on the side that the curve leaves free.
        rises = following is not None and following.mean > line.mean
        axes.annotate(
            f'{100 * line.mean:.1f}',
            (line.value, 100 * line.mean),
            (8, -12 if rises else 7),
            textcoords='offset points',
            color=INK,
            fontsize=9,
            # Readable on the line as well.
            bbox={'facecolor': 'white', 'edgecolor': 'none', 'pad': 1, 'alpha': 0.8},
        )
    if min(values) > 0 and max(values) >= 4 * min(values):
        axes.set_xscale('log', base=2)
    axes.set_xticks(values, [f'{value:g}' for value in values])
    axes.minorticks_off()
    axes.margins(0.1, 0.15)
    axes.grid(axis='y', color=_GRID, lw=0.6)
    axes.set_xlabel(axis, color=INK)
    axes.set_ylabel('average mAP in %', color=INK)


def _bar(line: PlotLine) -> float:
    return 0.0 if math.isnan(line.deviation) else 100 * line.deviation
