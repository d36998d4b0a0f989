"""Pictures of ablations."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Annotation

from mmtal_mts.visualization.ablation_plot import PlotLine, _draw_curve


@pytest.mark.parametrize(
    'means',
    [(0.77, 0.72, 0.75, 0.76), (0.72, 0.71, 0.69, 0.73), (0.6, 0.7, 0.8, 0.9)],
)
def test_numbers_of_a_curve_keep_off_it(means):
    values = [8, 16, 32, 64]
    # In any order: the curve goes by the values.
    lines = [
        PlotLine(f'{value} pixels', (mean,), mean, float('nan'), value)
        for value, mean in reversed([*zip(values, means)])
    ]
    figure = Figure(figsize=(7.6, 4.2), dpi=130)
    canvas = FigureCanvasAgg(figure)
    axes = figure.subplots()
    _draw_curve(axes, lines, 'patch size')
    canvas.draw()
    labels = [item for item in axes.texts if isinstance(item, Annotation)]
    assert [item.get_text() for item in labels] == [f'{100 * m:.1f}' for m in means]
    points = axes.transData.transform([*zip(values, 100 * np.array(means))])
    for first, second in zip(points, points[1:]):
        steps = np.linspace(first, second, 500)
        for label in labels:
            # The text alone, without the room around it.
            box = label.get_window_extent(canvas.get_renderer()).padded(-2)
            inside = (steps >= box.min).all(1) & (steps <= box.max).all(1)
            assert not inside.any(), label.get_text()
