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
<ul>
<li><b>Double detection</b>: the segment is found by a better one.
  <b>Wrong label</b>: tIoU &ge; {main:g} with a segment of another class.
  <b>Localization</b>: tIoU &ge; {background:g} with a segment of its class.
  <b>Confusion</b>: the same with one of another class.
  <b>Background</b>: none of these.</li>
<li><b>Put right</b>: wrong labels and boundaries become those of the segment that the
  detection overlaps most (if no other detection finds it, else the detection is
  removed); double detections and background are removed; missed segments are found
  with the highest score. The gains of several kinds do not add up.</li>
<li><b>Normalised mAP</b>: that of each bucket alone, average over the thresholds, as if
  every class had equally many segments in every bucket. Dashed: all segments; below the
  mAP its change relative to that. <b>Sensitivity</b>: best bucket minus worst.
  <b>Impact</b>: best bucket minus all segments.</li>
</ul>
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
        counts=_counts(content['counts']),
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

    head = ['by', 'bucket', 'segments', 'missed', '%']
    missed = _table(f'Missed segments at {main}', head)
    for one in diagnosis.buckets:
        for bucket, count, number in zip(
            one.buckets, one.total, one.missed[diagnosis.main], strict=True
        ):
            share = f'{100 * number / count:.1f}' if count else '-'
            missed.add_row(one.characteristic, bucket, str(count), str(number), share)
        missed.add_section()

    normalised = _table(
        'Normalised mAP in % by what the segments are like',
        ['by', 'bucket', 'segments', *tious, 'average', 'change'],
    )
    overall = diagnosis.buckets[0].overall
    averages = _percents([*overall, overall.mean()])
    normalised.add_row('all', '', total, *averages, '', end_section=True)
    for one in diagnosis.buckets:
        for bucket, count, values, average, change in zip(
            one.buckets,
            one.total,
            one.mean_ap.T,
            one.average,
            one.relative_change,
            strict=True,
        ):
            normalised.add_row(
                one.characteristic,
                bucket,
                str(count),
                *_percents([*values, average]),
                '-' if np.isnan(change) else f'{100 * change:+.0f} %',
            )
        normalised.add_section()

    ranges = _table('Sensitivity in %', ['by', 'sensitivity', 'impact'])
    for one in diagnosis.buckets:
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


def _counts(counts: dict[str, int]) -> str:
    text = '{videos} videos, {segments} segments, {detections} detections'
    if counts['unknown_video'] or counts['unknown_class']:
        text += (
            '; left out: {unknown_video} detections in videos without ground truth and '
            '{unknown_class} of classes without a segment'
        )
    return text.format(**counts)
