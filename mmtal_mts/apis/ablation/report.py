"""The table, the plot and the JSON file of an ablation."""

from __future__ import annotations

import datetime
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from mmtal_mts.utils.io import atomic_write, write_json
from mmtal_mts.visualization.ablation_plot import PlotLine, draw_ablation

from .plan import AblationPlan
from .run import AblationRun
from .statistics import CONFIDENCE, Spread
from .summary import AblationSummary, VariantSummary, summarize


def write_report(
    plan: AblationPlan,
    runs: Sequence[AblationRun],
    failed: Mapping[str, str] | None = None,
) -> tuple[str, list[Path]]:
    """Writes ``table.md``, ``results.json`` and ``plot.png`` into the work dir.

    Args:
        plan (AblationPlan): The plan.
        runs (Sequence[AblationRun]): Its runs; those that are done are reported.
        failed (Mapping[str, str], optional): Why runs failed, by name.

    Returns:
        tuple[str, list[Path]]: The table, and the files. No plot is among them as
        long as no variant has a seed with all folds.
    """
    folder = Path(plan.work_dir)
    summary = summarize(plan, runs)
    text = markdown(summary, failed or {})
    paths = [folder / 'table.md', folder / 'results.json']
    with atomic_write(paths[0]) as temporary:
        temporary.write_text(text, encoding='utf-8')
    write_json(paths[1], as_json(summary, failed or {}))
    lines = [
        PlotLine(
            line.variant.name,
            line.by_seed,
            line.average.mean,
            line.average.deviation,
            line.variant.value,
        )
        for line in summary.lines
        if line.by_seed
    ]
    if lines:
        paths.append(folder / 'plot.png')
        draw_ablation(paths[-1], lines, plan.name, plan.axis, _subtitle(plan))
    return text, paths


def markdown(summary: AblationSummary, failed: Mapping[str, str]) -> str:
    """The table, with what its numbers are.

    Args:
        summary (AblationSummary): What to tell.
        failed (Mapping[str, str]): Why runs failed, by name.

    Returns:
        str: Markdown.
    """
    plan = summary.plan
    first = plan.variants[0].name
    date = datetime.date.today().isoformat()
    head = [
        'variant',
        *(f'{threshold:g}' for threshold in summary.tiou_thresholds),
        *('average', 'pooled', f'difference to {first}'),
        *(f'{CONFIDENCE:.0%} interval', 'better in', 'runs'),
    ]
    rows = [head, ['---'] * len(head), *(_row(line) for line in summary.lines)]
    table = '\n'.join(f'| {" | ".join(map(_cell, row))} |' for row in rows)
    notes = [f'- {name}: {reason}' for name, reason in failed.items()]
    missing = sum(result is None for _, result in summary.results)
    if missing:
        notes.insert(0, f'{missing} of {len(summary.results)} runs have no result.\n')
    return (
        f'# {plan.name}\n\n'
        f'mAP in %: {_subtitle(plan)}. `python tools/misc/run_ablation.py '
        f'{plan.path}`, {date}.\n\n{table}\n\n{_LEGEND}'
        + ('\n' + '\n'.join(notes) + '\n' if notes else '')
    )


_LEGEND = """\
- a value of one seed is the mean over the folds; a cell is mean ± standard deviation
  over the seeds that have all folds
- pooled: the detections of all folds evaluated together, every video once
- difference: mean ± standard error of the differences seed by seed; interval: of that
  mean, by Student's t. It is about other seeds on the same folds, not about other data
- better in: single runs (seed and fold) that are better than that of the first variant
"""


def as_json(summary: AblationSummary, failed: Mapping[str, str]) -> dict[str, Any]:
    """Everything, fractions of 1; null where there is no number.

    Args:
        summary (AblationSummary): What to tell.
        failed (Mapping[str, str]): Why runs failed, by name.

    Returns:
        dict[str, Any]: For a JSON file.
    """
    plan = summary.plan
    runs = [
        {
            'variant': run.variant.name,
            'fold': run.fold.name,
            'seed': run.seed,
            'folder': os.fspath(run.folder),
            'result': None if result is None else asdict(result),
            'failed': failed.get(run.name),
        }
        for run, result in summary.results
    ]
    variants = [
        {
            'name': line.variant.name,
            'value': line.variant.value,
            'runs': line.num_done,
            'mAP': {
                f'{threshold:g}': _spread_json(at)
                for threshold, at in zip(summary.tiou_thresholds, line.mean_ap)
            },
            'average': _spread_json(line.average),
            'by_seed': list(line.by_seed),
            'pooled': _spread_json(line.pooled),
            'difference': None
            if line.difference is None
            else {
                **_spread_json(line.difference.spread),
                'standard_error': _number(line.difference.spread.error),
                'half_width': _number(line.difference.spread.half_width),
                'better': line.difference.num_better,
                'pairs': line.difference.num_pairs,
            },
        }
        for line in summary.lines
    ]
    return {
        'name': plan.name,
        'plan': plan.path,
        'confidence': CONFIDENCE,
        'variants': variants,
        'runs': runs,
    }


def _subtitle(plan: AblationPlan) -> str:
    seeds, folds = len(plan.seeds), len(plan.folds)
    return (
        f'{seeds} seed{"s" * (seeds > 1)}, '
        f'{folds} fold{"s" * (folds > 1)} of cross-validation'
        if folds > 1
        else f'{seeds} seed{"s" * (seeds > 1)}, one split'
    )


def _row(line: VariantSummary) -> list[str]:
    difference = ['', '', '']
    if line.difference is not None and line.difference.num_pairs:
        at = line.difference.spread
        difference = [
            _signed(at.mean) + _plus_minus(at.error),
            ''
            if math.isnan(at.half_width)
            else f'{_signed(at.mean - at.half_width)} to '
            f'{_signed(at.mean + at.half_width)}',
            f'{line.difference.num_better} of {line.difference.num_pairs}',
        ]
    return [
        line.variant.name,
        *(_percent(at) for at in line.mean_ap),
        _percent(line.average),
        _percent(line.pooled),
        *difference,
        f'{line.num_done} of {line.num_runs}',
    ]


def _percent(at: Spread) -> str:
    if math.isnan(at.mean):
        return ''
    return f'{100 * at.mean:.1f}{_plus_minus(at.deviation)}'


def _plus_minus(value: float) -> str:
    return '' if math.isnan(value) else f' ± {100 * value:.1f}'


def _signed(value: float) -> str:
    return '' if math.isnan(value) else f'{100 * value:+.1f}'


def _cell(text: str) -> str:
    """Text that does not end its cell."""
    return text.replace('|', '\\|')


def _spread_json(at: Spread) -> dict[str, Any]:
    return {
        'mean': _number(at.mean),
        'deviation': _number(at.deviation),
        'count': at.count,
    }


def _number(value: float) -> float | None:
    return None if math.isnan(value) else float(value)
