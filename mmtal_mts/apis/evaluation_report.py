"""The mAP as a table and as JSON."""

from __future__ import annotations

from typing import Any

import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from mmtal_mts.apis.evaluation import EvaluationData
from mmtal_mts.evaluation.functional.mean_ap import MeanAPResult, threshold_rows
from mmtal_mts.utils import result_console


def summarize_mean_ap(data: EvaluationData, result: MeanAPResult) -> dict[str, Any]:
    """The result as it is written to JSON.

    Args:
        data (EvaluationData): What was evaluated.
        result (MeanAPResult): Its result.

    Returns:
        dict: ``tiou_thresholds``, ``mAP`` (one for each), ``average_over``,
        ``average``, ``classes`` (per name ``AP``, one for each threshold, None without
        a segment), ``counts`` and ``protocol``. Fractions of 1.
    """
    return {
        'tiou_thresholds': list(result.tiou_thresholds),
        'mAP': result.mean_ap.tolist(),
        'average_over': list(data.average_over),
        'average': result.average(data.average_over),
        'classes': {
            name: None if np.isnan(ap).any() else ap.tolist()
            for name, ap in zip(data.classes, result.ap.T)
        },
        'counts': result.counts,
        'protocol': data.protocol,
    }


def print_mean_ap(
    data: EvaluationData,
    result: MeanAPResult,
    classwise: bool = False,
    console: Console | None = None,
) -> None:
    """Print the result in percent.

    Args:
        data (EvaluationData): What was evaluated.
        result (MeanAPResult): Its result.
        classwise (bool): Also print the AP of each class.
        console (Console, optional): Where to. None: standard output.
    """
    console = console or result_console()
    rows = threshold_rows(result.tiou_thresholds, data.average_over)
    table = Table(title='mAP in %', title_justify='left')
    table.add_column('tIoU')
    for threshold in result.tiou_thresholds:
        table.add_column(f'{threshold:g}', justify='right')
    table.add_column('average', justify='right')
    if classwise:
        for name, ap in zip(data.classes, result.ap.T):
            table.add_row(escape(name), *_percents([*ap, ap[rows].mean()]))
        table.add_section()
    mean = result.mean_ap
    table.add_row('mAP', *_percents([*mean, mean[rows].mean()]), style='bold')
    console.print(table)
    if len(rows) < len(result.tiou_thresholds):
        over = ', '.join(f'{threshold:g}' for threshold in data.average_over)
        console.print(f'average over tIoU {over}', highlight=False)
    counts = result.counts
    console.print(
        f'{counts["detections"]} detections, {counts["segments"]} segments, '
        f'{counts["videos"]} videos',
        highlight=False,
    )
    if counts['unknown_video'] or counts['unknown_class']:
        console.print(
            f'left out: {counts["unknown_video"]} detections in videos without ground '
            f'truth, {counts["unknown_class"]} of classes without a segment',
            highlight=False,
            soft_wrap=True,
        )


def _percents(values: list[float]) -> list[str]:
    """Fractions as they stand in a table."""
    return ['-' if np.isnan(value) else f'{100 * value:.2f}' for value in values]
