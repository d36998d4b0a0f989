"""Plots of what is wrong with detections."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from .class_row import FAINT, INK

if TYPE_CHECKING:
    from ..evaluation.diagnosis import Diagnosis

_GRID, _BAR, _PALE_BAR = '#d8dee4', '#0072B2', '#9ecae1'
# In the order of ``mmtal_mts.evaluation.diagnosis.KINDS``.
_KIND_COLORS = ('#009E73', '#56B4E9', '#CC79A7', '#E69F00', '#D55E00', '#8c959f')
# Names come from files: a dollar sign is not the start of a formula.
_SETTINGS = {'text.parse_math': False, 'font.size': 9.5}
_CHARACTERISTICS = {
    'length': 'length',
    'coverage': 'coverage of the video',
    'instances': 'segments of the class in the video',
}


def draw_diagnosis(
    diagnosis: Diagnosis, kinds: Sequence[str], fixes: Sequence[str]
) -> bytes:
    """Draws the findings on one sheet.

    From top to bottom: what fixing one kind of error brings, and the kinds of errors by
    their place in the ranking; missed segments by what the segments are like; the
    normalised mAP by the same.

    Args:
        diagnosis: The findings.
        kinds: 6 names of what a detection can be.
        fixes: 7 names of what can be put right.

    Returns:
        A PNG file.
    """
    main, tables = diagnosis.main, diagnosis.buckets
    heights = [4.4, 3.5, 3.5]
    with matplotlib.rc_context(_SETTINGS):
        figure = Figure(figsize=(13, sum(heights)), dpi=100, layout='constrained')
        rows = figure.subfigures(len(heights), 1, height_ratios=heights, hspace=0.02)
        left, right = rows[0].subplots(1, 2)
        _plot_fixes(left, fixes, diagnosis)
        _plot_profile(right, kinds, diagnosis.profile[main])
        missed = [100 * one.missed[main] / np.maximum(one.total, 1) for one in tables]
        label = f'missed in % at tIoU {diagnosis.main_tiou:g}; on top: segments'
        _plot_buckets(rows[1], tables, missed, label)
        average = [100 * one.average for one in tables]
        label = 'normalised mAP in %; on top: segments'
        overall = 100 * tables[0].overall.mean()
        _plot_buckets(rows[2], tables, average, label, overall)
        png = io.BytesIO()
        FigureCanvasAgg(figure).print_png(png)
    return png.getvalue()


def _clean(axes: Axes) -> None:
    """Leaves only the lines that help to read."""
    for side in ('top', 'right', 'left'):
        axes.spines[side].set_visible(False)
    axes.spines['bottom'].set_color(_GRID)
    axes.tick_params(colors=INK, labelsize=8.5, length=0)
    axes.set_axisbelow(True)


def _plot_fixes(axes: Axes, names: Sequence[str], diagnosis: Diagnosis) -> None:
    """What the mAP gains if one kind of error is put right, or removed."""
    now = diagnosis.mean_ap[diagnosis.main]
    removed = np.full(len(names), np.nan)
    removed[: diagnosis.removed.shape[1]] = diagnosis.removed[diagnosis.main]
    gains = 100 * (np.stack([diagnosis.fixed[diagnosis.main], removed]) - now)
    places = np.arange(len(names))[::-1]
    styles = ((0.19, _BAR, 'put right'), (-0.19, _PALE_BAR, 'removed'))
    for row, (shift, color, label) in zip(gains, styles, strict=True):
        axes.barh(places + shift, row, 0.34, color=color, label=label)
        for place, gain in zip(places + shift, row, strict=True):
            if np.isfinite(gain):
                style = dict(va='center', fontsize=8, color=INK)
                axes.text(gain, place, f' +{gain:.1f}', **style)
    axes.set_yticks(places, [name.replace('_', ' ') for name in names])
    axes.set_xlim(0, max(1.0, np.nanmax(gains)) * 1.12)
    title = f'mAP gained above {100 * now:.1f} % at tIoU {diagnosis.main_tiou:g}, if'
    axes.set_title(f'{title} one kind is', fontsize=10, color=INK, loc='left', pad=22)
    style = dict(frameon=False, fontsize=8.5, labelcolor=INK, ncols=2)
    axes.legend(loc='lower left', bbox_to_anchor=(0, 1), borderaxespad=0.2, **style)
    _clean(axes)


def _plot_profile(axes: Axes, kinds: Sequence[str], counts: np.ndarray) -> None:
    """Share of each kind of detection by its place in the ranking."""
    total = counts.sum(axis=1, keepdims=True)
    shares = 100 * np.divide(counts, total, out=np.zeros(counts.shape), where=total > 0)
    names = [f'{band + 1}G' for band in range(len(counts))]
    bottom = np.zeros(len(counts))
    for kind, share, color in zip(kinds, shares.T, _KIND_COLORS, strict=True):
        label = kind.replace('_', ' ')
        axes.bar(names, share, 0.78, bottom, color=color, label=label)
        for place in np.flatnonzero(share >= 6):
            style = dict(ha='center', va='center', fontsize=8, color='white')
            y = bottom[place] + share[place] / 2
            axes.text(place, y, f'{share[place]:.0f}', **style)
        bottom += share
    axes.set(ylim=(0, 100), xlim=(-0.6, len(counts) - 0.4))
    axes.set_xlabel('place in the ranking (G: segments of the class)', color=INK)
    axes.set_ylabel('detections in %', color=INK)
    style = dict(frameon=False, fontsize=8.5, labelcolor=INK, ncols=3)
    axes.legend(loc='lower center', bbox_to_anchor=(0.47, 1), handlelength=1, **style)
    _clean(axes)


def _plot_buckets(
    figure: Figure,
    tables: Sequence,
    percent: Sequence[np.ndarray],
    ylabel: str,
    overall: float | None = None,
) -> None:
    """Bars from 0 to 100 % of the buckets, and their change against ``overall``."""
    columns = figure.subplots(1, len(tables), sharey=True, squeeze=False)[0]
    for axes, table, values in zip(columns, tables, percent, strict=True):
        places = range(len(table.buckets))
        axes.bar(places, np.nan_to_num(values), 0.72, color=_BAR)
        if overall is not None:
            axes.axhline(overall, color=INK, linewidth=1.0, linestyle=(0, (4, 3)))
        for place, value, count in zip(places, values, table.total, strict=True):
            style = dict(ha='center', fontsize=8)
            axes.text(place, 123, f'{count}', color=FAINT, **style)
            if not np.isfinite(value):
                continue
            text = f'{value:.0f}'
            if overall is not None:
                # Without a true positive there is nothing to compare with.
                change = 100 * (value / overall - 1) if overall else 0.0
                text = f'{value:.1f}\n{change:+.0f} %'
            box = dict(facecolor='white', edgecolor='none', pad=0.2)
            axes.text(place, value + 2, text, color=INK, bbox=box, **style)
        axes.set_xticks(places, table.buckets, rotation=25, ha='right')
        axes.set(ylim=(0, 130), yticks=range(0, 101, 20))
        title = _CHARACTERISTICS[table.characteristic]
        axes.set_title(title, fontsize=10.5, color=INK)
        _clean(axes)
    columns[0].set_ylabel(ylabel, color=INK)
