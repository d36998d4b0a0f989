"""A diagnosis as text, as JSON, and as a page."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from mmtal_mts.evaluation.diagnosis.diagnose import Diagnosis, boundary_summary
from mmtal_mts.evaluation.diagnosis.errors import ERROR_KINDS, KINDS
from mmtal_mts.evaluation.diagnosis.fixes import FIXES
from mmtal_mts.evaluation.diagnosis.ranking import RECALL_POINTS
from mmtal_mts.utils import result_console
from mmtal_mts.utils.json_files import write_json
from mmtal_mts.utils.whole_files import whole_file
from mmtal_mts.visualization import diagnosis_plots as plots
from mmtal_mts.visualization.diagnosis_plots import spoken

_MISSED_TITLES = {
    'length': 'length',
    'coverage': 'coverage of the video',
    'instances': 'segments of the class in the video',
}


def write_diagnosis(
    out_dir: str | os.PathLike, diagnosis: Diagnosis, title: str, background_tiou: float
) -> tuple[Path, Path]:
    """Write ``diagnosis.json`` and a page that needs nothing else, ``report.html``.

    Args:
        out_dir (str | os.PathLike): Folder; made if it is not there.
        diagnosis (Diagnosis): What to write.
        title (str): Of the page.
        background_tiou (float): That the diagnosis was made with.

    Returns:
        tuple[Path, Path]: The JSON file and the page.
    """
    paths = Path(out_dir) / 'diagnosis.json', Path(out_dir) / 'report.html'
    write_json(paths[0], diagnosis.to_json())
    page = render_page(diagnosis, title, background_tiou)
    with whole_file(paths[1]) as temporary:
        temporary.write_text(page, encoding='utf-8')
    return paths


def render_page(diagnosis: Diagnosis, title: str, background_tiou: float) -> str:
    """The page.

    Args:
        diagnosis (Diagnosis): What to show.
        title (str): Of the page.
        background_tiou (float): That the diagnosis was made with.

    Returns:
        str: HTML.
    """
    environment = Environment(
        loader=PackageLoader('mmtal_mts.apis'),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
    )
    present = np.flatnonzero(diagnosis.positives)
    main, tious = diagnosis.main, [f'{t:g}' for t in diagnosis.tiou_thresholds]
    counts = diagnosis.to_json()['counts']
    names = [diagnosis.classes[label] for label in present]
    class_rows = list(zip(names, diagnosis.ap[:, present].T))
    heads = {
        'fixes': ['put right', *tious, 'average'],
        'kinds': ['detections', *tious],
        'mix_ups': ['true class', 'detected as', 'detections'],
        'boundaries': ['', 'absolute', 'signed'],
    }
    rows = {
        'fixes': _fix_rows(diagnosis),
        'kinds': [[spoken(k), *row] for k, row in zip(KINDS, diagnosis.kinds.T)],
        'mix_ups': diagnosis.top_mix_ups(),
        'boundaries': _boundary_rows(diagnosis),
    }
    tables = {key: {'head': heads[key], 'rows': rows[key]} for key in heads}
    return environment.get_template('diagnosis.html').render(
        title=title,
        counts=counts,
        main_tiou=diagnosis.main_tiou,
        background_tiou=background_tiou,
        tiles=_tiles(diagnosis),
        class_table={
            'head': ['class', *tious],
            'rows': [*class_rows, ('mAP', diagnosis.mean_ap)],
        },
        plots={
            # Text is drawn as outlines; matplotlib escapes it in comments beside them.
            name: Markup(svg)
            for name, svg in {
                'classes': plots.plot_classes(
                    names, diagnosis.ap[main, present], diagnosis.positives[present]
                ),
                'curves': plots.plot_precision_recall(
                    RECALL_POINTS, diagnosis.curves, diagnosis.tiou_thresholds, main
                ),
                'profile': plots.plot_profile(diagnosis.profile[main], KINDS),
                'fixes': plots.plot_fixes(
                    FIXES,
                    diagnosis.fixed[main],
                    _with_nan(diagnosis.removed[main]),
                    diagnosis.mean_ap[main],
                ),
                'missed': plots.plot_missed(
                    [
                        (
                            _MISSED_TITLES[table.characteristic],
                            table.buckets,
                            table.total,
                            table.missed[main],
                        )
                        for table in diagnosis.missed
                    ]
                ),
            }.items()
        },
        **tables,
    )


def print_diagnosis(diagnosis: Diagnosis, console: Console | None = None) -> None:
    """Print what matters most.

    Args:
        diagnosis (Diagnosis): What to print.
        console (Console, optional): Where to. None: standard output.
    """
    console = console or result_console()
    tious = [f'{t:g}' for t in diagnosis.tiou_thresholds]
    present = np.flatnonzero(diagnosis.positives)
    main = f'tIoU {diagnosis.main_tiou:g}'

    table = _table('AP in % by tIoU', ['class', *tious, 'average', 'segments'])
    for label in present[np.argsort(-diagnosis.ap[diagnosis.main, present])]:
        ap = diagnosis.ap[:, label]
        table.add_row(
            escape(diagnosis.classes[label]),
            *_percents([*ap, ap.mean()]),
            str(diagnosis.positives[label]),
        )
    table.add_section()
    mean = diagnosis.mean_ap
    total = str(diagnosis.positives.sum())
    table.add_row('mAP', *_percents([*mean, mean.mean()]), total, style='bold')
    console.print(table)

    table = _table('Detections', ['kind', *tious])
    for kind, counts in zip(KINDS, diagnosis.kinds.T):
        table.add_row(spoken(kind), *map(str, counts))
    console.print(table)

    table = _table('mAP in % with one kind put right', ['kind', *tious, 'average'])
    for row in _fix_rows(diagnosis):
        table.add_row(*row)
    console.print(table)

    table = _table(
        f'Missed segments at {main}', ['by', 'bucket', 'segments', 'missed', '%']
    )
    for missed in diagnosis.missed:
        rows = zip(missed.buckets, missed.total, missed.missed[diagnosis.main])
        for bucket, count, number in rows:
            share = f'{100 * number / count:.1f}' if count else '-'
            name = missed.characteristic
            table.add_row(name, bucket, str(count), str(number), share)
        table.add_section()
    console.print(table)

    table = _table(f'Classes taken for each other at {main}', ['true', 'detected', ''])
    for true, detected, count in diagnosis.top_mix_ups():
        table.add_row(escape(true), escape(detected), str(count))
    if table.row_count:
        console.print(table)

    table = _table('Median boundary error', ['', 'absolute', 'signed'])
    for row in _boundary_rows(diagnosis):
        table.add_row(*row)
    console.print(table)


def _table(title: str, head: list[str]) -> Table:
    """A table whose first column is text; names wrap, numbers do not."""
    table = Table(title=title, title_justify='left')
    table.add_column(head[0], overflow='fold')
    for name in head[1:]:
        table.add_column(name, justify='right', no_wrap=True)
    return table


def _tiles(diagnosis: Diagnosis) -> list[tuple[str, str]]:
    """The numbers at the top of the page."""
    first, last = diagnosis.tiou_thresholds[0], diagnosis.tiou_thresholds[-1]
    main = diagnosis.main
    best = diagnosis.profile[main, 0]
    gains = diagnosis.fixed[main, : len(ERROR_KINDS)] - diagnosis.mean_ap[main]
    worst = ERROR_KINDS[int(gains.argmax())]
    return [
        (f'mAP, tIoU {first:g} to {last:g}', f'{100 * diagnosis.mean_ap.mean():.1f} %'),
        (
            f'mAP at tIoU {diagnosis.main_tiou:g}',
            f'{100 * diagnosis.mean_ap[main]:.1f} %',
        ),
        ('of the segments found', f'{100 * diagnosis.recall[main]:.1f} %'),
        ('of the best G right', f'{100 * best[0] / max(best.sum(), 1):.1f} %'),
        (f'most to gain: {spoken(worst)}', f'+{100 * gains.max():.1f}'),
    ]


def _fix_rows(diagnosis: Diagnosis) -> list[list[str]]:
    """The mAP with each kind put right, and as it is."""
    rows = [('as it is', diagnosis.mean_ap)]
    rows += [(spoken(name), values) for name, values in zip(FIXES, diagnosis.fixed.T)]
    return [[name, *_percents([*values, values.mean()])] for name, values in rows]


def _boundary_rows(diagnosis: Diagnosis) -> list[list[str]]:
    """Median errors of starts and ends."""
    return [
        [
            name,
            *(
                '-' if errors[key] is None else f'{errors[key]:{form}} s'
                for key, form in (('median_absolute', '.2f'), ('median', '+.2f'))
            ),
        ]
        for name, errors in boundary_summary(diagnosis.boundaries).items()
    ]


def _with_nan(removed: np.ndarray) -> np.ndarray:
    """The mAP without each error kind, with nothing for the other fixes."""
    return np.append(removed, np.full(len(FIXES) - len(removed), np.nan))


def _percents(values: list[Any]) -> list[str]:
    """Fractions as they stand in a table."""
    return [f'{100 * value:.1f}' for value in values]
