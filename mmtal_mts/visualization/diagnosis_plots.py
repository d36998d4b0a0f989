"""Plots of what is wrong with detections."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib
import numpy as np

from .class_row import FAINT, INK
from .svg_figure import BAR, GRID, PALE_BAR, SETTINGS, new_figure, to_svg

# In the order of ``mmtal_mts.evaluation.diagnosis.KINDS``.
KIND_COLORS = ('#009E73', '#56B4E9', '#CC79A7', '#E69F00', '#D55E00', '#8c959f')


def plot_classes(names: Sequence[str], ap: np.ndarray, positives: np.ndarray) -> str:
    """AP of each class, the best on top.

    Args:
        names (Sequence[str]): K names.
        ap (np.ndarray): (K,) in [0, 1].
        positives (np.ndarray): (K,) number of segments, written behind the bars.

    Returns:
        str: SVG.
    """
    order = np.argsort(ap, kind='stable')
    with matplotlib.rc_context(SETTINGS):
        figure, axes = new_figure(6.0, 0.8 + 0.22 * len(names))
        axes.barh(range(len(names)), 100 * ap[order], color=BAR, height=0.72)
        axes.set_yticks(range(len(names)), [_short(names[row]) for row in order])
        for place, row in enumerate(order):
            text = f'{100 * ap[row]:.1f}'
            axes.text(
                100 * ap[row] + 0.8, place, text, va='center', color=INK, fontsize=8
            )
            axes.text(
                122,
                place,
                f'{positives[row]}',
                va='center',
                ha='right',
                fontsize=8,
                color=FAINT,
            )
        axes.set(xlim=(0, 123), ylim=(-0.7, len(names) - 0.3))
        axes.set_xticks(range(0, 101, 20))
        axes.set_xlabel('AP in %; right: number of segments', color=INK)
        return to_svg(figure)


def plot_precision_recall(
    recall: np.ndarray,
    curves: np.ndarray,
    tiou_thresholds: Sequence[float],
    main: int,
) -> str:
    """Mean curve of every threshold, and that of each class at one of them.

    Args:
        recall (np.ndarray): (R,) in [0, 1].
        curves (np.ndarray): (M, K, R) precision; NaN for a class without a segment.
        tiou_thresholds (Sequence[float]): M.
        main (int): The threshold whose classes are drawn.

    Returns:
        str: SVG.
    """
    with matplotlib.rc_context(SETTINGS):
        figure, axes = new_figure(6.0, 4.6)
        classes = curves[main][~np.isnan(curves[main, :, 0])]
        for curve in classes:
            axes.plot(100 * recall, 100 * curve, color='#c4ccd4', linewidth=0.7)
        shades = matplotlib.colormaps['viridis_r'](
            np.linspace(0.15, 0.95, len(tiou_thresholds))
        )
        for row, (threshold, shade) in enumerate(zip(tiou_thresholds, shades)):
            axes.plot(
                100 * recall,
                100 * np.nanmean(curves[row], axis=0),
                color=shade,
                linewidth=2.8 if row == main else 1.5,
                label=f'tIoU {threshold:g}',
            )
        axes.plot(
            [], [], color='#c4ccd4', label=f'classes at {tiou_thresholds[main]:g}'
        )
        axes.set(xlim=(0, 100), ylim=(0, 102))
        axes.set_xlabel('recall in %', color=INK)
        axes.set_ylabel('precision in %', color=INK)
        axes.grid(axis='y', color=GRID, linewidth=0.7)
        axes.legend(frameon=False, fontsize=8.5, labelcolor=INK)
        return to_svg(figure)


def plot_profile(counts: np.ndarray, kinds: Sequence[str]) -> str:
    """Share of each kind of detection by its place in the ranking.

    Args:
        counts (np.ndarray): (10, 6) detections by band and kind.
        kinds (Sequence[str]): 6 names.

    Returns:
        str: SVG.
    """
    total = counts.sum(axis=1, keepdims=True)
    shares = 100 * np.divide(counts, total, out=np.zeros(counts.shape), where=total > 0)
    names = [f'{band + 1}G' for band in range(len(counts))]
    with matplotlib.rc_context(SETTINGS):
        figure, axes = new_figure(6.0, 4.2)
        bottom = np.zeros(len(counts))
        for kind, share, color in zip(kinds, shares.T, KIND_COLORS):
            axes.bar(names, share, 0.78, bottom, color=color, label=spoken(kind))
            for place in np.flatnonzero(share >= 6):
                axes.text(
                    place,
                    bottom[place] + share[place] / 2,
                    f'{share[place]:.0f}',
                    ha='center',
                    va='center',
                    fontsize=8,
                    color='white',
                )
            bottom += share
        axes.set(ylim=(0, 100), xlim=(-0.6, len(counts) - 0.4))
        axes.set_xlabel('place in the ranking (G: segments of the class)', color=INK)
        axes.set_ylabel('detections in %', color=INK)
        axes.legend(
            frameon=False,
            fontsize=8.5,
            labelcolor=INK,
            ncols=3,
            columnspacing=1.0,
            handlelength=1.0,
            loc='lower center',
            bbox_to_anchor=(0.47, 1.0),
        )
        return to_svg(figure)


def plot_fixes(
    names: Sequence[str], fixed: np.ndarray, removed: np.ndarray, now: float
) -> str:
    """What the mAP gains if one kind of error is fixed.

    Args:
        names (Sequence[str]): F kinds of errors.
        fixed (np.ndarray): (F,) mAP in [0, 1].
        removed (np.ndarray): (F,) mAP if the detections are removed; NaN where that
            makes no sense.
        now (float): The mAP as it is.

    Returns:
        str: SVG.
    """
    with matplotlib.rc_context(SETTINGS):
        figure, axes = new_figure(6.0, 0.9 + 0.46 * len(names))
        places = np.arange(len(names))[::-1]
        gains = 100 * (np.stack([fixed, removed]) - now)
        styles = ((0.19, BAR, 'put right'), (-0.19, PALE_BAR, 'removed'))
        for row, (shift, color, label) in zip(gains, styles):
            axes.barh(places + shift, row, 0.34, color=color, label=label)
            for place, gain in zip(places + shift, row):
                if np.isfinite(gain):
                    axes.text(
                        gain, place, f' +{gain:.1f}', va='center', fontsize=8, color=INK
                    )
        axes.set_yticks(places, [spoken(name) for name in names])
        axes.set_xlim(0, max(1.0, np.nanmax(gains)) * 1.1)
        axes.set_xlabel(f'mAP gained, in points above {100 * now:.1f} %', color=INK)
        axes.legend(frameon=False, fontsize=8.5, labelcolor=INK)
        return to_svg(figure)


def spoken(name: str) -> str:
    """A name of the code as it stands in a text."""
    return name.replace('_', ' ')


def _short(name: str, limit: int = 32) -> str:
    """A class name that leaves room for its bar."""
    return name if len(name) <= limit else name[: limit - 1] + '…'
