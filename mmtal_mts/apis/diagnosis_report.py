"""A diagnosis as text, as JSON and as a page with plots."""

from __future__ import annotations

import base64
import io
import os
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from rich.console import Console

from ..evaluation.diagnosis import Diagnosis
from ..evaluation.functional.mean_ap import describe_counts, percent_table
from ..utils import result_console
from ..utils.io import atomic_write, write_json
from ..visualization.timeline import FAINT, GRID, INK

_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>{title}</title>
<style>
body {{ margin: 24px auto; max-width: 1300px; padding: 0 16px; color: #1f2328;
  font: 15px/1.5 system-ui, sans-serif; }}
img {{ width: 100%; }}
pre {{ line-height: 1.25; overflow-x: auto; font-family: monospace; }}
</style>
</head>
<body>
<h1>{title}</h1>
<p>{counts}</p>
<p>Double detection: the segment is found by a better one. Wrong label: tIoU &ge;
{main:g} with a segment of another class. Localization: tIoU &ge; {background:g} with a
segment of its class; confusion: with one of another class. Background: none of these.
Put right: wrong labels and boundaries become those of the segment that the detection
overlaps most, if no other finds it; double detections and background are removed;
missed segments are found with the highest score. Gains do not add up. Normalised mAP:
that of each bucket alone, as if every class had equally many segments in every bucket;
dashed: all segments. Sensitivity: best bucket minus worst; impact: best bucket minus
all segments.</p>
<img alt="plots of the tables below" src="data:image/png;base64,{png}">
<pre>{tables}</pre>
</body>
</html>
"""

_BAR = '#0072B2'
# In the order of ``mmtal_mts.evaluation.diagnosis.KINDS``.
_KIND_COLORS = ('#009E73', '#56B4E9', '#CC79A7', '#E69F00', '#D55E00', '#8c959f')
_CHARACTERISTICS = {
    'length': 'length',
    'coverage': 'coverage of the video',
    'instances': 'segments of the class in the video',
}


def write_diagnosis(
    out_dir: str | os.PathLike, diagnosis: Diagnosis, title: str, background_tiou: float
) -> tuple[Path, Path]:
    """Writes ``diagnosis.json`` and a page that needs nothing else, ``report.html``.

    Args:
        out_dir: Folder; made if it is not there.
        diagnosis: What to write.
        title: Of the page.
        background_tiou: That the diagnosis was made with.

    Returns:
        The JSON file and the page.
    """
    paths = Path(out_dir) / 'diagnosis.json', Path(out_dir) / 'report.html'
    write_json(paths[0], diagnosis.to_json())
    console = Console(record=True, file=io.StringIO(), width=160)
    print_diagnosis(diagnosis, console)
    page = _PAGE.format(
        title=escape(title),
        counts='; '.join(describe_counts(diagnosis.counts)),
        main=diagnosis.main_tiou,
        background=background_tiou,
        png=base64.b64encode(_draw(diagnosis)).decode('ascii'),
        tables=console.export_html(inline_styles=True, code_format='{code}'),
    )
    with atomic_write(paths[1]) as temporary:
        temporary.write_text(page, encoding='utf-8')
    return paths


def print_diagnosis(diagnosis: Diagnosis, console: Console | None = None) -> None:
    """Prints what matters most.

    Args:
        diagnosis: What to print.
        console: Where to. None: standard output.
    """
    console = console or result_console()

    def show(title: str, head: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        if rows:
            console.print(percent_table(title, head, rows))

    tious = [f'{t:g}' for t in diagnosis.tiou_thresholds]
    main, at = diagnosis.main, f'at tIoU {diagnosis.main_tiou:g}'
    mean, total = diagnosis.mean_ap, int(diagnosis.segments.sum())

    present = np.flatnonzero(diagnosis.segments)
    present = present[np.argsort(-diagnosis.ap[main, present])]
    rows = [
        (diagnosis.classes[k], *_with_mean(diagnosis.ap[:, k]), diagnosis.segments[k])
        for k in present
    ]
    rows += [(), ('mAP', *_with_mean(mean), total)]
    head = ['class', *tious, 'average', 'segments']
    show('AP in % by tIoU', head, rows)

    rows = [(_spaced(kind), *counts) for kind, counts in diagnosis.kinds.items()]
    show('Detections', ['kind', *tious], rows)

    fixed = {'as it is': mean, **diagnosis.fixed}
    rows = [(_spaced(kind), *_with_mean(values)) for kind, values in fixed.items()]
    title = 'mAP in % with one kind put right'
    show(title, ['kind', *tious, 'average'], rows)

    missed, ranges = [], []
    by_bucket = [('all', '', total, *_with_mean(diagnosis.buckets[0].overall), ''), ()]
    for one in diagnosis.buckets:
        changes = [f'{100 * x:+.0f} %' if x == x else '-' for x in one.relative_change]
        for row, name in enumerate(one.buckets):
            cells = one.characteristic, name, one.total[row]
            lost = one.missed[main, row]
            share = lost / one.total[row] if one.total[row] else np.nan
            missed.append((*cells, lost, float(share)))
            by_bucket.append((*cells, *_with_mean(one.mean_ap[:, row]), changes[row]))
        missed.append(())
        by_bucket.append(())
        ranges.append((one.characteristic, one.sensitivity, one.impact))
    by = ['by', 'bucket', 'segments']
    show(f'Missed segments {at}', [*by, 'missed', '%'], missed)
    title = 'Normalised mAP in % by what the segments are like'
    show(title, [*by, *tious, 'average', 'change'], by_bucket)
    show('Sensitivity in %', ['by', 'sensitivity', 'impact'], ranges)
    mixed_up = diagnosis.mixed_up[:10]
    title = f'Classes taken for each other {at}'
    show(title, ['true', 'detected', ''], mixed_up)


def _spaced(name: str) -> str:
    return name.replace('_', ' ')


def _with_mean(values: np.ndarray) -> list[float]:
    return [*values, values.mean()]


def _draw(diagnosis: Diagnosis) -> bytes:
    """One sheet as a PNG file.

    From top to bottom: what fixing one kind of error brings, and the kinds of errors by
    their place in the ranking; missed segments by what the segments are like; the
    normalised mAP by the same.
    """
    main, tables = diagnosis.main, diagnosis.buckets
    heights = [4.4, 3.5, 3.5]
    # Names come from files: a dollar sign is not the start of a formula.
    with matplotlib.rc_context({'text.parse_math': False, 'font.size': 9.5}):
        figure = Figure(figsize=(13, sum(heights)), dpi=100, layout='constrained')
        rows = figure.subfigures(len(heights), 1, height_ratios=heights, hspace=0.02)
        left, right = rows[0].subplots(1, 2)
        _plot_fixes(left, diagnosis)
        _plot_profile(right, list(diagnosis.kinds), diagnosis.profile[main])
        columns = [row.subplots(1, len(tables), sharey=True) for row in rows[1:]]
        overall = 100 * tables[0].overall.mean()
        for missed, normalised, table in zip(*columns, tables, strict=True):
            _plot_buckets(
                missed, table, table.missed[main] / np.maximum(table.total, 1)
            )
            _plot_buckets(normalised, table, table.average, overall)
        label = f'missed in % at tIoU {diagnosis.main_tiou:g}; on top: segments'
        columns[0][0].set_ylabel(label, color=INK)
        label = 'normalised mAP in %; on top: segments'
        columns[1][0].set_ylabel(label, color=INK)
        png = io.BytesIO()
        FigureCanvasAgg(figure).print_png(png)
    return png.getvalue()


def _clean(axes: Axes, title: str = '') -> None:
    """Leaves only the lines that help to read."""
    for side in ('top', 'right', 'left'):
        axes.spines[side].set_visible(False)
    axes.spines['bottom'].set_color(GRID)
    axes.tick_params(colors=INK, labelsize=8.5, length=0)
    axes.set_axisbelow(True)
    axes.set_title(title, fontsize=10.5, color=INK)


def _plot_fixes(axes: Axes, diagnosis: Diagnosis) -> None:
    """What the mAP gains if one kind of error is put right."""
    main, now = diagnosis.main, diagnosis.mean_ap[diagnosis.main]
    gains = [100 * (values[main] - now) for values in diagnosis.fixed.values()]
    bars = axes.barh(
        [name.replace('_', ' ') for name in diagnosis.fixed], gains, 0.6, color=_BAR
    )
    axes.bar_label(bars, fmt=' +%.1f', fontsize=8, color=INK)
    axes.invert_yaxis()
    axes.set_xlim(0, max(1.0, *gains) * 1.12)
    title = f'mAP gained above {100 * now:.1f} % at tIoU {diagnosis.main_tiou:g}, '
    _clean(axes, title + 'if one kind is put right')


def _plot_profile(axes: Axes, kinds: Sequence[str], counts: np.ndarray) -> None:
    """Share of each kind of detection by its place in the ranking."""
    total = counts.sum(axis=1, keepdims=True)
    shares = 100 * np.divide(counts, total, out=np.zeros(counts.shape), where=total > 0)
    names = [f'{band + 1}G' for band in range(len(counts))]
    bottom = np.zeros(len(counts))
    for kind, share, color in zip(kinds, shares.T, _KIND_COLORS, strict=True):
        bars = axes.bar(
            names, share, 0.78, bottom, color=color, label=kind.replace('_', ' ')
        )
        texts = [f'{value:.0f}' if value >= 6 else '' for value in share]
        axes.bar_label(bars, texts, label_type='center', fontsize=8, color='white')
        bottom += share
    axes.set(ylim=(0, 100), xlim=(-0.6, len(counts) - 0.4))
    axes.set_xlabel('place in the ranking (G: segments of the class)', color=INK)
    axes.set_ylabel('detections in %', color=INK)
    style = dict(frameon=False, fontsize=8.5, labelcolor=INK, ncols=3)
    axes.legend(loc='lower center', bbox_to_anchor=(0.47, 1), handlelength=1, **style)
    _clean(axes)


def _plot_buckets(
    axes: Axes, table: Any, shares: np.ndarray, overall: float | None = None
) -> None:
    """Bars from 0 to 100 % of the buckets, and their change against ``overall``."""
    percent, places = 100 * shares, range(len(table.buckets))
    bars = axes.bar(places, np.nan_to_num(percent), 0.72, color=_BAR)
    texts = [f'{value:.0f}' for value in percent]
    if overall is not None:
        axes.axhline(overall, color=INK, linewidth=1.0, linestyle=(0, (4, 3)))
        # Without a true positive there is nothing to compare with.
        changes = 100 * np.nan_to_num(table.relative_change)
        pairs = zip(percent, changes, strict=True)
        texts = [f'{value:.1f}\n{change:+.0f} %' for value, change in pairs]
    texts = [
        '' if np.isnan(x) else text for x, text in zip(percent, texts, strict=True)
    ]
    box = dict(facecolor='white', edgecolor='none', pad=0.2)
    axes.bar_label(bars, texts, padding=2, fontsize=8, color=INK, bbox=box)
    for place, count in zip(places, table.total, strict=True):
        axes.text(place, 123, f'{count}', color=FAINT, ha='center', fontsize=8)
    axes.set_xticks(places, table.buckets, rotation=25, ha='right')
    axes.set(ylim=(0, 130), yticks=range(0, 101, 20))
    _clean(axes, _CHARACTERISTICS[table.characteristic])
