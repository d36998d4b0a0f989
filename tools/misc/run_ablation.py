"""Trains and tests every variant of a plan with every seed on every fold.

The plan is a JSON file, see docs/benchmark.md. A call that was killed is repeated: what
is done stays, the rest is run. At the end the table, the plot and all results are
written into the work dir of the plan.
"""

from __future__ import annotations

import argparse
import shlex
import signal
import sys
from pathlib import Path

try:
    from mmtal_mts.apis.ablation import (
        prepare_runs,
        read_plan,
        run_all,
        write_report,
    )
    from mmtal_mts.apis.ablation.execution import commands
    from mmtal_mts.apis.ablation.progress import AblationProgress
    from mmtal_mts.apis.ablation.workers import default_workers
    from mmtal_mts.utils import UserError, run_tool
except ImportError as error:
    sys.exit(f'error: {error}')

TOOLS = Path(__file__).resolve().parent.parent


def parse_args() -> argparse.Namespace:
    """Parses the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('plan', metavar='PLAN.json')
    parser.add_argument(
        '--jobs',
        type=int,
        help='runs at a time; default: so many that each has --threads cores, and one '
        'where there is a GPU',
    )
    parser.add_argument(
        '--threads',
        type=int,
        help='of each run; default: OMP_NUM_THREADS, or cores divided by --jobs, or 1',
    )
    parser.add_argument(
        '--dry-run', action='store_true', help='print the commands, run nothing'
    )
    parser.add_argument(
        '--report-only', action='store_true', help='report what is done, run nothing'
    )
    return parser.parse_args()


def main() -> None:
    """Runs the plan."""
    args = parse_args()
    plan = read_plan(args.plan)
    runs = prepare_runs(plan)
    if args.dry_run:
        for run in runs:
            state = 'waiting' if run.read_result() is None else 'done'
            print(f'{run.name}: {state}')
            for command in commands(run, TOOLS, plan.resume).values():
                print(f'    {shlex.join(command)}')
        return
    failed = {}
    if not args.report_only:
        # Ends the trainings as Ctrl-C does.
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        workers = default_workers(len(runs), args.jobs, args.threads)
        with AblationProgress(runs, workers.jobs) as progress:
            failed = run_all(
                runs,
                TOOLS,
                progress,
                jobs=workers.jobs,
                threads=workers.threads,
                resume=plan.resume,
            )
    text, paths = write_report(plan, runs, failed)
    print(f'\n{text}')
    for path in paths:
        print(path)
    if failed:
        raise UserError(
            f'{len(failed)} of {len(runs)} runs failed, e.g. '
            f'{next(iter(failed.items()))}. Repeat the command to try them again'
        )


if __name__ == '__main__':
    sys.exit(run_tool(main))
