"""Measure the speed of the slow steps against plain implementations of them."""

from __future__ import annotations

import argparse
import ctypes
import gc
import os
import platform
import re
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from benchmark_cases import AFSD, BENCHMARKS, TAL_MTS, Case, Section
from rich.markdown import Markdown
from torch.utils.benchmark import timer

from mmtal_mts.ops import compiled_ops_problem
from mmtal_mts.utils import UserError, result_console, run_tool, write_json
from mmtal_mts.utils.io import atomic_write

COLUMNS = ('what', 'median', 'fastest to slowest', 'per second', 'peak memory')
PLAIN_NOTE = (
    'The first row is a plain re-implementation of our own '
    '(tests/plain_baselines.py), not the code of another project.'
)


def run_benchmark(name: str, args: argparse.Namespace) -> Section:
    """Runs one of :data:`BENCHMARKS`, and notes how and on what machine."""
    if torch.device(args.device).type == 'cuda' and not torch.cuda.is_available():
        raise UserError(
            f'--device {args.device}: torch sees no GPU. Remedy: --device cpu'
        )
    if args.runs < 1 or args.warmup < 0:
        raise UserError(
            f'--runs {args.runs} must be >= 1 and --warmup {args.warmup} >= 0'
        )
    with tempfile.TemporaryDirectory() as folder:
        section = BENCHMARKS[name](args, Path(folder))
        measure(section.cases, args, not section.is_staged)
    section.notes += [] if section.is_staged else [PLAIN_NOTE]
    section.notes.append(f'{args.runs} runs of each in turn, wall-clock time')
    section.notes.append(_describe_machine(torch.device(args.device).type))
    return section


def measure(
    cases: list[Case], args: argparse.Namespace, repeats_short: bool = True
) -> None:
    """Runs the cases in turn, so that a busy machine is unfair to none of them.

    A run of less than a second is repeated, and the second time counts: counting the
    memory empties caches, which would be most of what a short run takes.

    torch.utils.benchmark.Timer runs everything twice before each measurement, which
    takes minutes here; its clock, which waits for the GPU, is used.
    """
    for number in range(args.warmup + args.runs):
        gc.collect()
        for case in cases:
            before = _memory(args.device, peak=False)
            start = timer()
            case.run()
            seconds = timer() - start
            peak = _memory(args.device, peak=True)
            if repeats_short and seconds < 1:
                start = timer()
                case.run()
                seconds = timer() - start
            if number >= args.warmup:
                case.seconds.append(seconds)
                if peak and before:
                    case.peak_bytes = max(peak - before, case.peak_bytes or 0)


def _memory(device: str, peak: bool) -> int | None:
    """Bytes held, or the most since that was asked for; None if it is not known."""
    if torch.device(device).type == 'cuda':
        if peak:
            return torch.cuda.max_memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        return torch.cuda.memory_allocated()
    try:
        if not peak:
            # Memory that was freed, but not given back, would be used unseen.
            ctypes.CDLL(None).malloc_trim(0)
            # Resets the high-water mark of this process.
            Path('/proc/self/clear_refs').write_text('5')
        status = Path('/proc/self/status').read_text()
    except (OSError, AttributeError):  # not Linux, or not glibc
        return None
    key = 'VmHWM' if peak else 'VmRSS'
    return int(re.search(rf'^{key}:\s*(\d+) kB', status, re.MULTILINE)[1]) * 1024


def _describe_machine(device: str) -> str:
    """What a time depends on besides the code."""
    cpuinfo = Path('/proc/cpuinfo')
    text = cpuinfo.read_text() if cpuinfo.is_file() else ''
    named = re.search(r'^model name\s*: (.*)$', text, re.MULTILINE)
    processor = named[1] if named else platform.processor() or platform.machine()
    facts = {
        'processor': f'{os.cpu_count()} x {processor}',
        'threads': torch.get_num_threads(),
        'torch': torch.__version__,
        'python': platform.python_version(),
        'compiled operators': 'no' if compiled_ops_problem(device) else 'yes',
    }
    if device == 'cuda':
        facts['GPU'] = torch.cuda.get_device_name()
    elif hasattr(os, 'getloadavg'):
        # Above the number of threads, other processes got in the way.
        facts['load of the machine at the end'] = f'{os.getloadavg()[0]:.1f}'
    return ', '.join(f'{key}: {value}' for key, value in facts.items())


def table_rows(section: Section) -> list[tuple[str, ...]]:
    """The table of what was measured, with its header, as text."""
    times = np.array([np.array(case.seconds) / case.items for case in section.cases])
    medians = np.median(times, axis=1)
    # Round by round.
    ratios = times[0] / times
    last = [f'{np.median(r):.3g}x ({r.min():.3g} to {r.max():.3g})' for r in ratios]
    last[0] = 'baseline'
    if section.is_staged:
        last = [f'{share:.1%}' for share in medians / medians.sum()]
    rows = [(*COLUMNS, 'share' if section.is_staged else 'speed-up')]
    columns = (section.cases, times, medians, last)
    for case, runs, median, text in zip(*columns, strict=True):
        span = f'{_duration(runs.min())} to {_duration(runs.max())}'
        peak = '' if case.peak_bytes is None else f'{case.peak_bytes / 1e6:.0f} MB'
        row = (case.name, _duration(median), span, f'{1 / median:.4g}', peak, text)
        rows.append(row)
    return rows


def _duration(seconds: float) -> str:
    if seconds < 1e-3:
        return f'{seconds * 1e6:.3g} us'
    return f'{seconds * 1e3:.3g} ms' if seconds < 1 else f'{seconds:.3g} s'


def markdown(section: Section) -> str:
    """Title, table and notes."""
    header, *rows = (f'| {" | ".join(row)} |' for row in table_rows(section))
    rule = '| --- ' * (len(COLUMNS) + 1) + '|'
    title = f'{section.title}. Times are per {section.unit}.'
    notes = [f'- {note}' for note in section.notes]
    return '\n'.join([title, '', header, rule, *rows, '', *notes])


def update_page(path: str, name: str, section: Section) -> None:
    """Replaces the section of a benchmark between its two markers of a page."""
    page = Path(path)
    if not page.is_file():
        raise UserError(f'page {path} does not exist')
    begin, end = f'<!-- benchmark: {name} -->', f'<!-- end of {name} -->'
    pattern = re.compile(f'({re.escape(begin)}).*?({re.escape(end)})', re.DOTALL)
    new = f'{begin}\n\n{markdown(section)}\n\n{end}'
    text, found = pattern.subn(lambda _: new, page.read_text(encoding='utf-8'))
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
    add('--amp', action='store_true', help='networks under autocast')
    text = 'models of inference and train; end_to_end takes the last'
    add('--configs', nargs='+', default=[AFSD, TAL_MTS], help=text)
    add('--baseline', default=AFSD, help='model that is run unoptimised')
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
        section = run_benchmark(name, args)
        result_console().print(Markdown(markdown(section)))
        # After each: the next one may take long.
        if args.json:
            cases = [
                {key: value for key, value in vars(case).items() if key != 'run'}
                for case in section.cases
            ]
            results.append(vars(section) | dict(name=name, cases=cases))
            write_json(args.json, results)
        if args.page:
            update_page(args.page, name, section)


if __name__ == '__main__':
    sys.exit(run_tool(main))
