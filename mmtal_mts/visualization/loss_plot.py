"""Pictures of losses over the epochs of trainings."""

from __future__ import annotations

import os
from collections.abc import Mapping

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from mmtal_mts.utils.io import atomic_write


def draw_losses(
    out_path: str | os.PathLike,
    curves: Mapping[str, Mapping[int, float]],
    ylabel: str = 'loss',
    title: str = '',
) -> None:
    """Draw a curve per training into a PNG file.

    Args:
        out_path (str | os.PathLike): PNG file to write; missing folders are made.
        curves (Mapping[str, Mapping[int, float]]): By name, the loss of each epoch.
        ylabel (str): What is drawn.
        title (str): Of the picture.

    Raises:
        ValueError: If there is nothing to draw.
    """
    if not any(curves.values()):
        raise ValueError('there is no loss to draw')
    figure = Figure(figsize=(8, 4.8), dpi=100, facecolor='white')
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    figure.subplots_adjust(left=0.1, right=0.97, bottom=0.12, top=0.9)
    for name, losses in curves.items():
        epochs = sorted(losses)
        values = np.array([losses[epoch] for epoch in epochs])
        axes.plot(epochs, values, marker='o', markersize=3.5, label=name)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel('epoch')
    axes.set_ylabel(ylabel)
    axes.set_ylim(bottom=0)
    axes.grid(color='#d8dee4', linewidth=0.8)
    axes.set_axisbelow(True)
    for side in ('top', 'right'):
        axes.spines[side].set_visible(False)
    axes.set_title(title, loc='left', fontsize=12)
    axes.legend(frameon=False)
    with atomic_write(out_path) as temporary:
        figure.savefig(temporary, format='png')
