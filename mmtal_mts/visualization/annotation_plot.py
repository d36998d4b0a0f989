"""Pictures of what is in an annotation file."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from mmtal_mts.utils.io import atomic_write

_COLORS = ('#1f6feb', '#bf8700', '#1a7f37', '#8250df', '#cf222e')
_INK, _FAINT, _GRID = '#1f2328', '#57606a', '#d8dee4'


def draw_annotation_statistics(
    out_path: str | os.PathLike,
    lengths_f: Mapping[str, Sequence[float]],
    actions_per_video: Mapping[str, Sequence[int]],
    clip_len: int,
    level_strides: Sequence[float],
    title: str = '',
) -> None:
    """Draw how long actions are, and how many a video has, into a PNG file.

    Args:
        out_path (str | os.PathLike): PNG file to write; missing folders are made.
        lengths_f (Mapping[str, Sequence[float]]): Lengths in sampled frames, by
            subset.
        actions_per_video (Mapping[str, Sequence[int]]): Numbers of actions of the
            videos, by subset.
        clip_len (int): Window in sampled frames.
        level_strides (Sequence[float]): Sampled frames per location of each level.
        title (str): Of the picture.

    Raises:
        ValueError: If there is no action to draw.
    """
    if not any(len(values) for values in lengths_f.values()):
        raise ValueError('there is no action to draw')
    figure = Figure(figsize=(14, 5.2), dpi=100, facecolor='white')
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2)
    figure.subplots_adjust(left=0.06, right=0.98, bottom=0.13, top=0.82, wspace=0.16)
    if title:
        figure.text(0.06, 0.94, title, fontsize=14, color=_INK, weight='bold')
    _draw_lengths(left, lengths_f, clip_len, level_strides)
    _draw_numbers(right, actions_per_video)
    with atomic_write(out_path) as temporary:
        figure.savefig(temporary, format='png')


def _draw_lengths(
    axes: Axes,
    lengths_f: Mapping[str, Sequence[float]],
    clip_len: int,
    level_strides: Sequence[float],
) -> None:
    values = {name: np.asarray(v, float) for name, v in lengths_f.items() if len(v)}
    values = {name: v[v > 0] for name, v in values.items()}
    every = np.concatenate(list(values.values()))
    low, high = every.min(initial=1.0), max(every.max(initial=2.0), clip_len * 1.3)
    bins = np.geomspace(low * 0.95, high * 1.05, 45)
    _histogram(axes, values, bins)
    axes.set_xscale('log')
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f'{value:g}'))
    top = axes.get_ylim()[1]
    axes.set_ylim(0, top * 1.25)
    for stride in level_strides:
        axes.axvline(stride, color=_GRID, linewidth=1, zorder=0)
        axes.text(stride, top * 1.23, f'{stride:g}', **_label(_FAINT))
    axes.axvline(clip_len, color=_INK, linewidth=1.2, linestyle='--')
    too_long = (every > clip_len).mean()
    axes.text(
        clip_len * 0.97,
        top * 1.16,
        f'window {clip_len}\n{too_long:.1%} longer',
        ha='right',
        va='top',
        fontsize=9,
        color=_INK,
    )
    axes.set_title(
        'Length of the actions (grey lines: distance of the locations of each level)',
        fontsize=10,
        color=_INK,
        loc='left',
    )
    axes.set_xlabel('sampled frames')
    axes.set_ylabel('actions')


def _label(color: str) -> dict:
    return {'ha': 'center', 'va': 'top', 'fontsize': 8, 'color': color}


def _draw_numbers(axes: Axes, numbers: Mapping[str, Sequence[int]]) -> None:
    values = {name: np.asarray(v, float) for name, v in numbers.items() if len(v)}
    every = np.concatenate(list(values.values()))
    # A few crowded videos would squeeze all others into the first bar.
    limit = max(np.percentile(every, 99), 10.0)
    step = max(int(np.ceil(limit / 40)), 1)
    bins = np.arange(0, limit + 2 * step, step) - 0.5
    last = bins[-1] - step / 2
    _histogram(axes, {name: np.minimum(v, last) for name, v in values.items()}, bins)
    beyond = int((every > bins[-1]).sum())
    text = f'Actions per video, median {np.median(every):g}, most {every.max():g}'
    if beyond:
        text += f' (last bar: {beyond} videos with {int(bins[-2] + 1)} or more)'
    axes.set_title(text, fontsize=10, color=_INK, loc='left')
    axes.set_xlabel('actions in a video')
    axes.set_ylabel('videos')
    axes.legend(frameon=False, fontsize=9)


def _histogram(axes: Axes, values: Mapping[str, np.ndarray], bins: np.ndarray) -> None:
    names = list(values)
    axes.hist(
        [values[name] for name in names],
        bins=bins,
        stacked=True,
        label=[f'{name or "(no subset)"}' for name in names],
        color=[_COLORS[i % len(_COLORS)] for i in range(len(names))],
        rwidth=0.92,
    )
    for side in ('top', 'right'):
        axes.spines[side].set_visible(False)
    axes.tick_params(colors=_FAINT, labelsize=9)
    axes.set_axisbelow(True)
