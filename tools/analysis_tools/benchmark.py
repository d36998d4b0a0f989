"""Measure the speed of one or more steps against a straightforward implementation."""

from __future__ import annotations

import argparse
import sys

from rich.console import Console
from rich.table import Table

from mmtal_mts.benchmarks import BENCHMARKS, Report, run_benchmark
from mmtal_mts.benchmarks.network import AFSD_CONFIG, TAL_MTS_CONFIG
from mmtal_mts.benchmarks.pages import update_page, write_json
from mmtal_mts.utils import run_tool


def parse_args() -> argparse.Namespace:
    """Arguments of the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('names', nargs='+', choices=BENCHMARKS, metavar='NAME')
    parser.add_argument('--device', default='cpu', help='cpu or cuda')
    parser.add_argument('--runs', type=int, default=5, help='rounds that are kept')
    parser.add_argument('--warmup', type=int, default=1, help='rounds before that')
    parser.add_argument(
        '--clock',
        choices=('wall', 'cpu'),
        default='wall',
        help='cpu: processor time, steadier on a busy machine',
    )
    parser.add_argument('--amp', action='store_true', help='networks under autocast')
    parser.add_argument(
        '--configs',
        nargs='+',
        default=[AFSD_CONFIG, TAL_MTS_CONFIG],
        help='models of inference and train; end_to_end takes the last',
    )
    parser.add_argument(
        '--baseline', default=AFSD_CONFIG, help='model that is run unoptimised'
    )
    parser.add_argument('--clip-len', type=int, default=256, help='frames of a clip')
    parser.add_argument('--crop-size', type=int, default=96, help='side in pixels')
    parser.add_argument(
        '--gigabytes', type=float, default=20.0, help='size of the data set of data'
    )
    parser.add_argument('--video', help='video file of end_to_end')
    parser.add_argument('--json', help='file for everything that was measured')
    parser.add_argument('--page', help='Markdown page whose tables are replaced')
    parser.epilog = f'NAME is one of {", ".join(BENCHMARKS)}.'
    return parser.parse_args()


def show(report: Report) -> None:
    """Prints the table of a report."""
    table = Table(title=report.title)
    for column in report.header():
        table.add_column(column, overflow='fold')
    for row in report.rows():
        table.add_row(*row)
    console = Console(soft_wrap=True)
    console.print(table)
    console.print(*(f'{key}: {value};' for key, value in report.machine.items()))


def main() -> None:
    """Runs what the command line asks for."""
    args = parse_args()
    reports = []
    for name in args.names:
        report = run_benchmark(
            name,
            device=args.device,
            runs=args.runs,
            warmup=args.warmup,
            clock=args.clock,
            amp=args.amp,
            configs=args.configs,
            baseline=args.baseline,
            clip_len=args.clip_len,
            crop_size=args.crop_size,
            gigabytes=args.gigabytes,
            video=args.video,
        )
        show(report)
        reports.append(report)
        # After each: the next one may take long.
        if args.json:
            write_json(args.json, reports)
        if args.page:
            update_page(args.page, report)


if __name__ == '__main__':
    sys.exit(run_tool(main))
