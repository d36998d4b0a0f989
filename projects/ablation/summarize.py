"""Summarises the finished runs of an ablation as a Markdown table.

A value of one seed is the mean over the folds; a seed that lacks a fold is left out.
Differences to the first variant are taken seed by seed; their interval is Student's t.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from scipy.stats import t as student_t
from write_configs import Grid, list_runs, read_grid

from mmtal_mts.utils.errors import UserError, run_tool
from mmtal_mts.utils.io import atomic_write, read_json

CONFIDENCE = 0.95


def read_results(grid: Grid) -> pd.DataFrame:
    """The finished runs: a row each, ``variant``, ``fold``, ``seed`` and all metrics.

    Raises:
        UserError: If no run is finished.
    """
    rows = [
        dict(vars(run), fold=run.config.stem) | read_json(run.result)
        for run in list_runs(grid)
        if run.result is not None
    ]
    if not rows:
        raise UserError(
            f'{grid.work_dir} has no finished run. Remedy: '
            'python projects/ablation/write_configs.py GRID --run'
        )
    return pd.DataFrame(rows)


def over_folds(results: pd.DataFrame, num_folds: int, metric: str) -> pd.DataFrame:
    """Cross-validates a metric of :func:`read_results`.

    Returns:
        Seeds by variants: the mean over the folds, NaN where one is missing.
    """
    table = results.groupby(['seed', 'variant'])[metric].agg(['mean', 'count'])
    return table['mean'].where(table['count'] == num_folds).unstack('variant')


def spread(values: Sequence[float] | pd.Series) -> tuple[float, float, float]:
    """Mean, standard error and half the 95 % interval; NaN below two values."""
    series = pd.Series(values, dtype=float).dropna()
    error = series.sem()
    quantile = student_t.ppf((1 + CONFIDENCE) / 2, max(len(series) - 1, 1))
    return series.mean(), error, float(quantile * error)


def summarize(
    results: pd.DataFrame, variants: Sequence[str], num_folds: int, metric: str
) -> pd.DataFrame:
    """Compares the variants.

    Args:
        results: See :func:`read_results`.
        variants: All variants in the order of the table; the first is the baseline.
        num_folds: Number of folds.
        metric: Metric in [0, 1].

    Returns:
        A row per variant, in percent: ``mean``, ``error`` (standard error),
        ``difference``, its ``difference_error`` and ``interval`` (half the width), in
        how many pairs of runs it is ``better`` than the first one, and ``runs``.

    Raises:
        UserError: If the runs do not have the metric.
    """
    if metric not in results:
        known = results.columns.difference(['variant', 'fold', 'seed', 'root'])
        raise UserError(f'--metric {metric}: the runs have {", ".join(known)}')
    by_seed = over_folds(results, num_folds, metric).reindex(columns=list(variants))
    single = results.pivot(index=['seed', 'fold'], columns='variant', values=metric)
    rows, first = [], variants[0]
    for variant in variants:
        mean, error, _ = spread(by_seed[variant])
        values = dict(mean=mean, error=error)
        pairs = single.reindex(columns=list({first: 0, variant: 0})).dropna()
        if variant != first:
            names = 'difference', 'difference_error', 'interval'
            difference = spread(by_seed[variant] - by_seed[first])
            values |= zip(names, difference, strict=True)
        row: dict = {name: 100 * value for name, value in values.items()}
        if variant != first:
            row['better'] = f'{(pairs[variant] > pairs[first]).sum()}/{len(pairs)}'
        rows.append(dict(runs=int((results['variant'] == variant).sum()), **row))
    return pd.DataFrame(rows, index=pd.Index(variants, name='variant'))


def as_markdown(table: pd.DataFrame) -> str:
    """The table of :func:`summarize` in Markdown; missing values are left empty."""
    head = [table.index.name, *(name.replace('_', ' ') for name in table.columns)]
    lines = [head, ['---'] * len(head)]
    for name, row in table.iterrows():
        cells = ['' if pd.isna(v) else v for v in row]
        cells = [f'{v:.1f}' if isinstance(v, float) else str(v) for v in cells]
        lines.append([str(name).replace('|', '\\|'), *cells])
    return '\n'.join(f'| {" | ".join(line)} |' for line in lines) + '\n'


def plot(table: pd.DataFrame, title: str, path: Path) -> None:
    """Draws the means with their standard errors as a PNG."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.5, 1.5 + 0.4 * len(table)), layout='constrained')
    axes = figure.subplots()
    places = range(len(table))[::-1]
    axes.errorbar(table['mean'], places, xerr=table['error'].fillna(0), fmt='o')
    axes.set_yticks(places, table.index, parse_math=False)
    axes.set(xlabel='%', title=title)
    with atomic_write(path) as temporary:
        figure.savefig(temporary, format='png')


def main() -> None:
    """Prints the table, and draws it if asked to."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('grid', help='the YAML file that write_configs.py was given')
    parser.add_argument('--metric', default='mAP', help='e.g. mAP@0.50 (default: mAP)')
    parser.add_argument('--plot', type=Path, metavar='FILE.png', help='draw it as well')
    args = parser.parse_args()
    grid = read_grid(args.grid)
    results = read_results(grid)
    table = summarize(results, list(grid.variants), len(grid.folds), args.metric)
    print(f'# {grid.name}\n\n{args.metric} in %\n\n{as_markdown(table)}')
    if args.plot:
        plot(table, grid.name, args.plot)


if __name__ == '__main__':
    sys.exit(run_tool(main))
