"""Measure the speed of the slow steps against plain implementations of them."""

from __future__ import annotations

import argparse
import ctypes
import gc
import os
import platform
import re
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import benchmark_cases
import torch
from benchmark_cases import Case
from rich.console import Console
from rich.table import Table
from torch.utils.benchmark import timer

from mmtal_mts.ops import compiled_ops_problem
from mmtal_mts.utils import UserError, run_tool, write_json
from mmtal_mts.utils.io import atomic_write

BENCHMARKS = (
    'inference',
    'train',
    'boundary_pooling',
    'soft_nms',
    'evaluation',
    'data',
    'end_to_end',
)
MODELS = Path(__file__).resolve().parents[2] / 'configs/_base_/models'
AFSD_CONFIG = str(MODELS / 'afsd_i3d_thumos14.py')
TAL_MTS_CONFIG = str(MODELS / 'tal-mts_i3d.py')
CLOCKS = dict(wall=timer, cpu=time.process_time)
COLUMNS = ('what', 'median', 'fastest to slowest', 'per second', 'peak memory')
PLAIN_NOTE = (
    'The first row is a plain re-implementation of our own '
    '(tools/analysis_tools/benchmark_baselines.py), not the code of another project.'
)
_LIBC = ctypes.CDLL(None) if sys.platform == 'linux' else None


class Result(NamedTuple):
    """What was measured of the cases of a benchmark.

    The first case is the baseline; with ``shares`` the cases are stages instead.
    """

    name: str
    title: str
    unit: str
    cases: list[Case]
    notes: list[str]
    shares: bool

    def speed_ups(self) -> list[list[float]]:
        """Baseline over case, round by round, for every case."""
        slow = self.cases[0].per_item
        return [
            [a / b for a, b in zip(slow, case.per_item, strict=True)]
            for case in self.cases
        ]

    def rows(self) -> list[tuple[str, ...]]:
        """The table with its header, as text."""
        if self.shares:
            medians = [statistics.median(case.seconds) for case in self.cases]
            last = ['share', *(f'{value / sum(medians):.1%}' for value in medians)]
        else:
            last = ['speed-up', 'baseline'] + [
                f'{statistics.median(v):.3g}x ({min(v):.3g} to {max(v):.3g})'
                for v in self.speed_ups()[1:]
            ]
        rows = [COLUMNS]
        for case in self.cases:
            median, least, most = (
                f(case.per_item) for f in (statistics.median, min, max)
            )
            memory = case.peak_bytes
            rows.append(
                (
                    case.name,
                    _duration(median),
                    f'{_duration(least)} to {_duration(most)}',
                    f'{1 / median:.4g}',
                    '' if memory is None else f'{memory / 1e6:.0f} MB',
                )
            )
        return [(*row, text) for row, text in zip(rows, last, strict=True)]

    def to_markdown(self) -> str:
        """A section of a page: title, table, notes."""
        header, *rows = (f'| {" | ".join(row)} |' for row in self.rows())
        rule = '| --- ' * (len(COLUMNS) + 1) + '|'
        lines = [f'{self.title}. Times are per {self.unit}.', '', header, rule, *rows]
        return '\n'.join([*lines, '', *(f'- {note}' for note in self.notes)])

    def to_json(self) -> dict:
        """Every single run."""
        cases = [
            dict(name=c.name, items=c.items, seconds=c.seconds, peak_bytes=c.peak_bytes)
            for c in self.cases
        ]
        if not self.shares:
            for case, values in zip(cases, self.speed_ups(), strict=True):
                case['speed_up'] = statistics.median(values)
        return dict(name=self.name, title=self.title, notes=self.notes, cases=cases)


def _duration(seconds: float) -> str:
    if seconds < 1e-3:
        return f'{seconds * 1e6:.3g} us'
    return f'{seconds * 1e3:.3g} ms' if seconds < 1 else f'{seconds:.3g} s'


def measure(cases: list[Case], args: argparse.Namespace, device: str = 'cpu') -> None:
    """Runs the cases in turn, so that a busy machine is unfair to none of them.

    torch.utils.benchmark.Timer runs everything twice before each measurement, which
    takes minutes here; its clock, which waits for the GPU, is used.
    """
    now = CLOCKS[args.clock]
    for number in range(args.warmup + args.runs):
        gc.collect()
        for case in cases:
            before = _start_memory(device)
            start = now()
            case.run()
            seconds = now() - start
            peak = _peak_memory(device)
            if number >= args.warmup:
                case.seconds.append(seconds)
                if peak and before:
                    case.peak_bytes = max(peak - before, case.peak_bytes or 0)


def _start_memory(device: str) -> int | None:
    """Begins to watch the memory; returns what is held, None if it is not known."""
    if torch.device(device).type == 'cuda':
        torch.cuda.reset_peak_memory_stats()
        return torch.cuda.memory_allocated()
    if hasattr(_LIBC, 'malloc_trim'):
        # Memory that was freed, but not given back, would be used unseen.
        _LIBC.malloc_trim(0)
    try:
        # Resets the high-water mark of this process (Linux).
        Path('/proc/self/clear_refs').write_text('5')
    except OSError:
        return None
    return _status_bytes('VmRSS')


def _peak_memory(device: str) -> int | None:
    if torch.device(device).type == 'cuda':
        return torch.cuda.max_memory_allocated()
    return _status_bytes('VmHWM')


def _status_bytes(key: str) -> int | None:
    """A size from Linux' /proc/self/status, None elsewhere."""
    try:
        text = Path('/proc/self/status').read_text()
    except OSError:
        return None
    found = re.search(rf'^{key}:\s*(\d+) kB', text, re.MULTILINE)
    return int(found[1]) * 1024 if found else None


def run_benchmark(name: str, args: argparse.Namespace) -> Result:
    """Runs one of :data:`BENCHMARKS`, and notes how and on what machine."""
    if torch.device(args.device).type == 'cuda':
        if not torch.cuda.is_available():
            raise UserError(
                f'--device {args.device}: torch sees no GPU. Remedy: --device cpu'
            )
        if args.clock == 'cpu':
            raise UserError(
                '--clock cpu tells nothing about a GPU. Remedy: --clock wall'
            )
    if args.runs < 1 or args.warmup < 0:
        raise UserError(
            f'--runs {args.runs} must be >= 1 and --warmup {args.warmup} >= 0'
        )
    with tempfile.TemporaryDirectory() as folder:
        plan = getattr(benchmark_cases, name)(args, Path(folder))
        measure(plan.cases, args, args.device)
    cases, notes, clock = plan.cases, list(plan.notes), args.clock
    if plan.stages:
        cases, clock = plan.stages, 'wall'
        for stage in cases:
            del stage.seconds[: args.warmup]
    else:
        notes.append(PLAIN_NOTE)
    kind = 'processor' if clock == 'cpu' else 'wall-clock'
    notes += [f'{args.runs} runs of each in turn, {kind} time']
    notes += [_describe_machine(args.device)]
    return Result(name, plan.title, plan.unit, cases, notes, bool(plan.stages))


def _describe_machine(device: str) -> str:
    """What a time depends on besides the code."""
    cpuinfo = Path('/proc/cpuinfo')
    text = cpuinfo.read_text() if cpuinfo.is_file() else ''
    named = re.search(r'^model name\s*: (.*)$', text, re.MULTILINE)
    processor = named[1] if named else platform.processor() or platform.machine()
    problem = compiled_ops_problem(torch.device(device).type)
    facts = {
        'processor': f'{os.cpu_count()} x {processor}',
        'threads': torch.get_num_threads(),
        'torch': torch.__version__,
        'python': platform.python_version(),
        'compiled operators': 'no' if problem else 'yes',
    }
    if torch.device(device).type == 'cuda':
        facts['GPU'] = torch.cuda.get_device_name()
    elif hasattr(os, 'getloadavg'):
        # Above the number of threads, other processes got in the way.
        facts['load of the machine at the end'] = f'{os.getloadavg()[0]:.1f}'
    return ', '.join(f'{key}: {value}' for key, value in facts.items())


def update_page(path: str, result: Result) -> None:
    """Replaces the section of a benchmark between its two markers of a page."""
    page = Path(path)
    if not page.is_file():
        raise UserError(f'page {path} does not exist')
    begin, end = f'<!-- benchmark: {result.name} -->', f'<!-- end of {result.name} -->'
    pattern = re.compile(f'{re.escape(begin)}.*?{re.escape(end)}', re.DOTALL)
    section = f'{begin}\n\n{result.to_markdown()}\n\n{end}'
    text, found = pattern.subn(lambda _: section, page.read_text(encoding='utf-8'))
    if found != 1:
        raise UserError(
            f'page {path} has {found} sections from {begin} to {end}; expected one'
        )
    with atomic_write(page) as temporary:
        temporary.write_text(text, encoding='utf-8')


def parse_args(arguments: list[str] | None = None) -> argparse.Namespace:
    """Arguments of the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    add = parser.add_argument
    names = ', '.join(BENCHMARKS)
    add('names', nargs='+', choices=BENCHMARKS, metavar='NAME', help=f'of {names}')
    add('--device', default='cpu', help='cpu or cuda')
    add('--runs', type=int, default=5, help='rounds that are kept')
    add('--warmup', type=int, default=1, help='rounds before that')
    cpu = 'cpu: processor time, steadier on a busy machine'
    add('--clock', choices=CLOCKS, default='wall', help=cpu)
    add('--amp', action='store_true', help='networks under autocast')
    add(
        '--configs',
        nargs='+',
        default=[AFSD_CONFIG, TAL_MTS_CONFIG],
        help='models of inference and train; end_to_end takes the last',
    )
    add('--baseline', default=AFSD_CONFIG, help='model that is run unoptimised')
    add('--clip-len', type=int, default=256, help='frames of a clip')
    add('--crop-size', type=int, default=96, help='side in pixels')
    add('--gigabytes', type=float, default=20.0, help='size of the data set of data')
    add('--video', help='video file of end_to_end')
    add('--json', help='file for everything that was measured')
    add('--page', help='Markdown page whose tables are replaced')
    return parser.parse_args(arguments)


def main() -> None:
    """Runs what the command line asks for."""
    args = parse_args()
    results = []
    for name in args.names:
        result = run_benchmark(name, args)
        header, *rows = result.rows()
        table = Table(*header, title=f'{result.title}, per {result.unit}')
        for row in rows:
            table.add_row(*row)
        console = Console(soft_wrap=True)
        console.print(table, *result.notes, sep='\n')
        results.append(result)
        # After each: the next one may take long.
        if args.json:
            write_json(args.json, [done.to_json() for done in results])
        if args.page:
            update_page(args.page, result)


if __name__ == '__main__':
    sys.exit(run_tool(main))
