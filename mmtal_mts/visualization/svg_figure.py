"""Plots that stand in a page as SVG."""

from __future__ import annotations

import io

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from .class_row import INK

GRID, BAR, PALE_BAR = '#d8dee4', '#0072B2', '#9ecae1'

SETTINGS = {
    'text.parse_math': False,
    'svg.fonttype': 'path',
    'svg.hashsalt': 'mmtal_mts',
    'font.size': 9.5,
}
"""Of matplotlib. Names come from files: a dollar sign is not the start of a formula.
Text becomes outlines, so that a picture looks the same everywhere; the salt and the
missing date make it the same each time."""


def new_figure(width: float, height: float) -> tuple[Figure, Axes]:
    """An empty plot.

    Args:
        width (float): Inches.
        height (float): Inches.

    Returns:
        tuple[Figure, Axes]: With only the lines that help to read.
    """
    figure = Figure(figsize=(width, height), layout='constrained')
    axes = figure.subplots()
    clean(axes)
    return figure, axes


def clean(axes: Axes) -> None:
    """Leave only the lines that help to read.

    Args:
        axes (Axes): Changed in place.
    """
    for side in ('top', 'right', 'left'):
        axes.spines[side].set_visible(False)
    axes.spines['bottom'].set_color(GRID)
    axes.tick_params(colors=INK, labelsize=8.5, length=0)
    axes.set_axisbelow(True)


def to_svg(figure: Figure) -> str:
    """The picture as text, without the lines that belong to a file.

    Args:
        figure (Figure): The picture.

    Returns:
        str: Begins with ``<svg``.
    """
    FigureCanvasAgg(figure)
    text = io.StringIO()
    figure.savefig(text, format='svg', metadata={'Date': None})
    return text.getvalue()[text.getvalue().index('<svg') :]
