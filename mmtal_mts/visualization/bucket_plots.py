"""Plots of how detections depend on what the segments are like."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .class_row import FAINT, INK
from .svg_figure import BAR, SETTINGS, clean, to_svg


class Buckets(NamedTuple):
    """One value for each bucket of a characteristic.

    Attributes:
        title (str): Of the characteristic.
        names (Sequence[str]): B buckets.
        total (np.ndarray): (B,) segments in each.
        percent (np.ndarray): (B,) heights; NaN for nothing.
    """

    title: str
    names: Sequence[str]
    total: np.ndarray
    percent: np.ndarray


def plot_missed(tables: Sequence[Buckets]) -> str:
    """Share of missed segments in the buckets of some characteristics.

    Args:
        tables (Sequence[Buckets]): One for each characteristic.

    Returns:
        str: SVG.
    """
    return _plot(tables, 'missed in %; on top: segments', '{:.0f}'.format)


def plot_sensitivity(tables: Sequence[Buckets], overall: float) -> str:
    """Normalised mAP in the buckets of some characteristics.

    Args:
        tables (Sequence[Buckets]): One for each characteristic.
        overall (float): The same on all segments, in percent.

    Returns:
        str: SVG.
    """

    def _text(value: float) -> str:
        # Without a true positive there is nothing to compare with.
        change = 100 * (value / overall - 1) if overall else 0.0
        return f'{value:.1f}\n{change:+.0f} %'

    def _line(axes: Axes) -> None:
        axes.axhline(overall, color=INK, linewidth=1.0, linestyle=(0, (4, 3)))

    return _plot(tables, 'normalised mAP in %; on top: segments', _text, _line)


def _plot(
    tables: Sequence[Buckets],
    ylabel: str,
    text: Callable[[float], str],
    decorate: Callable[[Axes], None] = lambda axes: None,
) -> str:
    """Bars from 0 to 100 % side by side, with the number of segments on top."""
    with matplotlib.rc_context(SETTINGS):
        figure = Figure(figsize=(4.0 * len(tables), 3.5), layout='constrained')
        all_axes = figure.subplots(1, len(tables), sharey=True, squeeze=False)[0]
        for axes, table in zip(all_axes, tables):
            heights = np.nan_to_num(table.percent)
            axes.bar(range(len(table.names)), heights, 0.72, color=BAR)
            decorate(axes)
            for place, (value, count) in enumerate(zip(table.percent, table.total)):
                axes.text(place, 123, f'{count}', ha='center', fontsize=8, color=FAINT)
                if np.isfinite(value):
                    axes.text(
                        place,
                        value + 2,
                        text(value),
                        ha='center',
                        fontsize=8.5,
                        color=INK,
                        bbox=dict(facecolor='white', edgecolor='none', pad=0.2),
                    )
            axes.set_xticks(
                range(len(table.names)), table.names, rotation=25, ha='right'
            )
            axes.set(ylim=(0, 130), yticks=range(0, 101, 20))
            axes.set_title(table.title, fontsize=10.5, color=INK)
            clean(axes)
        all_axes[0].set_ylabel(ylabel, color=INK)
        return to_svg(figure)
