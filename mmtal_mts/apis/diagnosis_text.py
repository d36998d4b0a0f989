"""A diagnosis as text."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from mmtal_mts.evaluation.diagnosis.diagnose import Diagnosis, boundary_summary
from mmtal_mts.evaluation.diagnosis.errors import KINDS
from mmtal_mts.evaluation.diagnosis.fixes import FIXES
from mmtal_mts.utils import result_console
from mmtal_mts.visualization.diagnosis_plots import spoken


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
            *percents([*ap, ap.mean()]),
            str(diagnosis.positives[label]),
        )
    table.add_section()
    mean = diagnosis.mean_ap
    total = str(diagnosis.positives.sum())
    table.add_row('mAP', *percents([*mean, mean.mean()]), total, style='bold')
    console.print(table)

    table = _table('Detections', ['kind', *tious])
    for kind, counts in zip(KINDS, diagnosis.kinds.T):
        table.add_row(spoken(kind), *map(str, counts))
    console.print(table)

    table = _table('mAP in % with one kind put right', ['kind', *tious, 'average'])
    for row in fix_rows(diagnosis):
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

    table = _table(
        'Normalised mAP in % by what the segments are like',
        ['by', 'bucket', 'segments', *tious, 'average', 'change'],
    )
    overall = diagnosis.sensitivity[0].overall
    averages = percents([*overall, overall.mean()])
    table.add_row('all', '', total, *averages, '', end_section=True)
    for one in diagnosis.sensitivity:
        columns = zip(
            one.buckets, one.total, one.mean_ap.T, one.average, one.relative_change
        )
        for bucket, count, values, average, change in columns:
            table.add_row(
                one.characteristic,
                bucket,
                str(count),
                *percents([*values, average]),
                '-' if np.isnan(change) else f'{100 * change:+.0f} %',
            )
        table.add_section()
    console.print(table)

    table = _table(f'Classes taken for each other at {main}', ['true', 'detected', ''])
    for true, detected, count in diagnosis.top_mix_ups():
        table.add_row(escape(true), escape(detected), str(count))
    if table.row_count:
        console.print(table)

    table = _table('Median boundary error', ['', 'absolute', 'signed'])
    for row in boundary_rows(diagnosis):
        table.add_row(*row)
    console.print(table)


def _table(title: str, head: list[str]) -> Table:
    """A table whose first column is text; names wrap, numbers do not."""
    table = Table(title=title, title_justify='left')
    table.add_column(head[0], overflow='fold')
    for name in head[1:]:
        table.add_column(name, justify='right', no_wrap=True)
    return table


def fix_rows(diagnosis: Diagnosis) -> list[list[str]]:
    """The mAP with each kind put right, and as it is.

    Args:
        diagnosis (Diagnosis): What to show.

    Returns:
        list[list[str]]: Name, percent at each threshold, their average.
    """
    rows = [('as it is', diagnosis.mean_ap)]
    rows += [(spoken(name), values) for name, values in zip(FIXES, diagnosis.fixed.T)]
    return [[name, *percents([*values, values.mean()])] for name, values in rows]


def boundary_rows(diagnosis: Diagnosis) -> list[list[str]]:
    """Median errors of starts and ends.

    Args:
        diagnosis (Diagnosis): What to show.

    Returns:
        list[list[str]]: Name, absolute and signed error in seconds.
    """
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


def percents(values: Sequence[float]) -> list[str]:
    """Fractions as they stand in a table.

    Args:
        values (Sequence[float]): Fractions; NaN for nothing.

    Returns:
        list[str]: Percent with one digit.
    """
    return ['-' if np.isnan(value) else f'{100 * value:.1f}' for value in values]
