"""A diagnosis as text, as JSON and as a page."""

from __future__ import annotations

import base64
import io
import os
from collections.abc import Sequence
from html import escape
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.markup import escape as escape_markup
from rich.table import Table

from ..evaluation.diagnosis import FIXES, KINDS, Diagnosis
from ..evaluation.functional.mean_ap import describe_counts
from ..utils import result_console
from ..utils.io import atomic_write, write_json
from ..visualization.diagnosis_plots import draw_diagnosis

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
    content = diagnosis.to_json()
    write_json(paths[0], content)
    console = Console(record=True, file=io.StringIO(), width=160)
    print_diagnosis(diagnosis, console)
    png = draw_diagnosis(diagnosis, KINDS, FIXES)
    page = _PAGE.format(
        title=escape(title),
        counts='; '.join(describe_counts(content['counts'])),
        main=diagnosis.main_tiou,
        background=background_tiou,
        png=base64.b64encode(png).decode('ascii'),
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
    for table in _tables(diagnosis):
        if table.row_count:
            console.print(table)


def _tables(diagnosis: Diagnosis) -> list[Table]:
    tious = [f'{t:g}' for t in diagnosis.tiou_thresholds]
    main = f'tIoU {diagnosis.main_tiou:g}'
    total = str(diagnosis.positives.sum())
    mean = diagnosis.mean_ap

    classes = _table('AP in % by tIoU', ['class', *tious, 'average', 'segments'])
    present = np.flatnonzero(diagnosis.positives)
    for label in present[np.argsort(-diagnosis.ap[diagnosis.main, present])]:
        ap = diagnosis.ap[:, label]
        count = str(diagnosis.positives[label])
        name = escape_markup(diagnosis.classes[label])
        classes.add_row(name, *_percents([*ap, ap.mean()]), count)
    classes.add_section()
    classes.add_row('mAP', *_percents([*mean, mean.mean()]), total, style='bold')

    kinds = _table('Detections', ['kind', *tious])
    for kind, counts in zip(KINDS, diagnosis.kinds.T, strict=True):
        kinds.add_row(kind.replace('_', ' '), *map(str, counts))

    fixes = _table('mAP in % with one kind put right', ['kind', *tious, 'average'])
    rows = zip(('as it is', *FIXES), (mean, *diagnosis.fixed.T), strict=True)
    for name, values in rows:
        fixes.add_row(name.replace('_', ' '), *_percents([*values, values.mean()]))

    by = ['by', 'bucket', 'segments']
    missed = _table(f'Missed segments at {main}', [*by, 'missed', '%'])
    title = 'Normalised mAP in % by what the segments are like'
    normalised = _table(title, [*by, *tious, 'average', 'change'])
    ranges = _table('Sensitivity in %', ['by', 'sensitivity', 'impact'])
    overall = diagnosis.buckets[0].overall
    averages = _percents([*overall, overall.mean()])
    normalised.add_row('all', '', total, *averages, '', end_section=True)
    for one in diagnosis.buckets:
        lost, changes = one.missed[diagnosis.main], one.relative_change
        for row, name in enumerate(one.buckets):
            cells = one.characteristic, name, str(one.total[row])
            share = lost[row] / one.total[row] if one.total[row] else np.nan
            missed.add_row(*cells, str(lost[row]), *_percents([share]))
            values = _percents([*one.mean_ap[:, row], one.average[row]])
            change = '-' if np.isnan(changes[row]) else f'{100 * changes[row]:+.0f} %'
            normalised.add_row(*cells, *values, change)
        missed.add_section()
        normalised.add_section()
        ranges.add_row(one.characteristic, *_percents([one.spread, one.impact]))

    mixed = _table(f'Classes taken for each other at {main}', ['true', 'detected', ''])
    for true, detected, count in diagnosis.top_mix_ups():
        mixed.add_row(escape_markup(true), escape_markup(detected), str(count))

    boundaries = _table('Median boundary error', ['', 'absolute', 'signed'])
    for name, errors in diagnosis.boundary_summary().items():
        cells = (
            '-' if errors[key] is None else f'{errors[key]:{form}} s'
            for key, form in (('median_absolute', '.2f'), ('median', '+.2f'))
        )
        boundaries.add_row(name, *cells)
    return [classes, kinds, fixes, missed, normalised, ranges, mixed, boundaries]


def _table(title: str, head: list[str]) -> Table:
    """A table whose first column is text; names wrap, numbers do not."""
    table = Table(title=title, title_justify='left')
    table.add_column(head[0], overflow='fold')
    for name in head[1:]:
        table.add_column(name, justify='right', no_wrap=True)
    return table


def _percents(values: Sequence[float]) -> list[str]:
    return ['-' if np.isnan(value) else f'{100 * value:.1f}' for value in values]
