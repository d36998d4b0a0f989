"""A diagnosis as text, as JSON and as a page with plots."""

from __future__ import annotations

import base64
import io
import os
from collections.abc import Sequence
from html import escape
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from rich.console import Console

from ..evaluation.diagnosis import BucketTable, Diagnosis
from ..evaluation.functional.mean_ap import describe_counts, percent_table
from ..utils import result_console
from ..utils.io import atomic_write, write_json
from ..visualization import FAINT, GRID, INK

_PAGE = """<!DOCTYPE html>
<html lang="en">
<meta charset="utf-8">
<title>{title}</title>
<style>
body {{ margin: 24px auto; max-width: 1300px; padding: 0 16px; color: #1f2328;
  font: 15px/1.5 system-ui, sans-serif; }}
img {{ width: 100%; }}
pre {{ line-height: 1.25; overflow-x: auto; font-family: monospace; }}
</style>
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
"""

_BAR = '#0072B2'
# In the order of ``mmtal_mts.evaluation.diagnosis.KINDS``.
_KIND_COLORS = ('#009E73', '#56B4E9', '#CC79A7', '#E69F00', '#D55E00', '#8c959f')
_CHARACTERISTICS = {
    'length': 'length',
    'coverage': 'coverage of the video',
    'instances': 'segments of the class in the video',
}
_STYLE = {
    # Names come from files: a dollar sign is not the start of a formula.
    'text.parse_math': False,
    'font.size': 9.5,
    'axes.titlesize': 10.5,
    'axes.edgecolor': GRID,
    'axes.axisbelow': True,
    'legend.frameon': False,
    'legend.fontsize': 8.5,
    **{f'axes.spines.{side}': False for side in ('top', 'right', 'left')},
    **{f'{part}color': INK for part in ('text.', 'axes.label', 'axes.title')},
    **{f'{axis}tick.color': INK for axis in 'xy'},
    **{f'{axis}tick.labelsize': 8.5 for axis in 'xy'},
    **{f'{axis}tick.major.size': 0 for axis in 'xy'},
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
    console, d = console or result_console(), diagnosis

    def show(title: str, head: Sequence[str], rows: Sequence[Sequence]) -> None:
        if rows:
            console.print(percent_table(title, head, rows))

    at, tious = f'at tIoU {d.main_tiou:g}', [f'{t:g}' for t in d.tiou_thresholds]
    spans, by = [*tious, 'average'], ['by', 'bucket', 'segments']
    order = sorted(np.flatnonzero(d.segments), key=lambda k: -d.ap[d.main, k])
    rows = [(d.classes[k], *_with_mean(d.ap[:, k]), d.segments[k]) for k in order]
    rows += [(), ('mAP', *_with_mean(d.mean_ap), d.segments.sum())]
    show('AP in % by tIoU', ['class', *spans, 'segments'], rows)
    rows = [(kind.replace('_', ' '), *counts) for kind, counts in d.kinds.items()]
    show('Detections', ['kind', *tious], rows)
    cases = {'as it is': d.mean_ap, **d.fixed}.items()
    rows = [(kind.replace('_', ' '), *_with_mean(values)) for kind, values in cases]
    show('mAP in % with one kind put right', ['kind', *spans], rows)
    missed, overall = [], _with_mean(d.buckets[0].overall)
    rows = [('all', '', d.segments.sum(), *overall, ''), ()]
    for table in d.buckets:
        lost = table.missed[d.main]
        shares = lost / np.where(table.total, table.total, np.nan)
        for k, name in enumerate(table.buckets):
            cells, change = (table.characteristic, name, table.total[k]), '-'
            if not np.isnan(table.relative_change[k]):
                change = f'{100 * table.relative_change[k]:+.0f} %'
            missed.append((*cells, lost[k], shares[k]))
            rows.append((*cells, *_with_mean(table.mean_ap[:, k]), change))
        missed.append(())
        rows.append(())
    show(f'Missed segments {at}', [*by, 'missed', '%'], missed)
    title = 'Normalised mAP in % by what the segments are like'
    show(title, [*by, *spans, 'change'], rows)
    rows = [(t.characteristic, t.sensitivity, t.impact) for t in d.buckets]
    show('Sensitivity in %', ['by', 'sensitivity', 'impact'], rows)
    title = f'Classes taken for each other {at}'
    show(title, ['true', 'detected', ''], d.mixed_up[:10])


def _with_mean(values: np.ndarray) -> list[float]:
    return [*values, values.mean()]


def _draw(diagnosis: Diagnosis) -> bytes:
    """One sheet as a PNG file.

    From top to bottom: what fixing one kind of error brings, and the kinds of errors by
    their place in the ranking; missed segments by what the segments are like; the
    normalised mAP by the same.
    """
    main, tables, heights = diagnosis.main, diagnosis.buckets, [4.4, 3.5, 3.5]
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(13, sum(heights)), dpi=100, layout='constrained')
        top, *rows = figure.subfigures(3, 1, height_ratios=heights, hspace=0.02)
        left, right = top.subplots(1, 2)
        _plot_fixes(left, diagnosis)
        _plot_profile(right, list(diagnosis.kinds), diagnosis.profile[main])
        rows = [row.subplots(1, len(tables), sharey=True) for row in rows]
        overall = 100 * tables[0].overall.mean()
        for above, below, table in zip(*rows, tables, strict=True):
            count = np.where(table.total, table.total, np.nan)
            _plot_buckets(above, table, table.missed[main] / count)
            _plot_buckets(below, table, table.average, overall)
        label = f'missed in % at tIoU {diagnosis.main_tiou:g}; on top: segments'
        rows[0][0].set_ylabel(label)
        rows[1][0].set_ylabel('normalised mAP in %; on top: segments')
        png = io.BytesIO()
        FigureCanvasAgg(figure).print_png(png)
    return png.getvalue()


def _plot_fixes(axes: Axes, diagnosis: Diagnosis) -> None:
    """What the mAP gains if one kind of error is put right."""
    main, now = diagnosis.main, diagnosis.mean_ap[diagnosis.main]
    gains = [100 * (values[main] - now) for values in diagnosis.fixed.values()]
    names = [kind.replace('_', ' ') for kind in diagnosis.fixed]
    bars = axes.barh(names, gains, 0.6, color=_BAR)
    axes.bar_label(bars, fmt=' +%.1f', fontsize=8)
    axes.invert_yaxis()
    title = f'mAP gained above {100 * now:.1f} % at tIoU {diagnosis.main_tiou:g}, '
    title += 'if one kind is put right'
    axes.set(xlim=(0, max(1.0, *gains) * 1.12), title=title)


def _plot_profile(axes: Axes, kinds: Sequence[str], counts: np.ndarray) -> None:
    """Share of each kind of detection by its place in the ranking."""
    shares = 100 * counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    names = [f'{band + 1}G' for band in range(len(counts))]
    bottom = np.zeros(len(counts))
    for kind, share, color in zip(kinds, shares.T, _KIND_COLORS, strict=True):
        bars = axes.bar(
            names, share, 0.78, bottom, color=color, label=kind.replace('_', ' ')
        )
        texts = [f'{value:.0f}' if value >= 6 else '' for value in share]
        axes.bar_label(bars, texts, label_type='center', fontsize=8, color='white')
        bottom += share
    axes.set(ylim=(0, 100), xlim=(-0.6, len(counts) - 0.4), ylabel='detections in %')
    axes.set_xlabel('place in the ranking (G: segments of the class)')
    axes.legend(loc='lower center', bbox_to_anchor=(0.47, 1), ncols=3, handlelength=1)


def _plot_buckets(
    axes: Axes, table: BucketTable, shares: np.ndarray, overall: float | None = None
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
    box = dict(facecolor='white', edgecolor='none', pad=0.2)
    texts = np.where(np.isnan(percent), '', texts)
    axes.bar_label(bars, texts, padding=2, fontsize=8, bbox=box)
    for place, count in zip(places, table.total, strict=True):
        axes.text(place, 123, f'{count}', color=FAINT, ha='center', fontsize=8)
    axes.set_xticks(places, table.buckets, rotation=25, ha='right')
    title = _CHARACTERISTICS[table.characteristic]
    axes.set(ylim=(0, 130), yticks=range(0, 101, 20), title=title)
