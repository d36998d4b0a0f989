"""Tables of a benchmark: for a terminal, a page and a file."""

from __future__ import annotations

import os
import platform
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from mmtal_mts.ops import compiled_ops_problem

from .timing import Measurement

HEADER = (
    'what',
    'median',
    'fastest to slowest',
    'per second',
    'peak memory',
    'speed-up',
)


@dataclass(frozen=True)
class Report:
    """Result of one benchmark.

    Attributes:
        name: Name of the benchmark.
        title: What was measured, in words.
        unit: Unit of work, singular.
        measurements: The cases; where ``has_baseline``, the first one is it.
        machine: What it ran on.
        notes: What a reader has to know.
        has_baseline: Whether the cases are alternatives. Otherwise they are the steps
            of one process, and the table shows their share.
    """

    name: str
    title: str
    unit: str
    measurements: Sequence[Measurement]
    machine: dict[str, str]
    notes: Sequence[str] = ()
    has_baseline: bool = True

    def speed_ups(self) -> list[list[float]]:
        """Baseline over case, round by round, for every case."""
        baseline = self.measurements[0].per_item
        return [
            [slow / fast for slow, fast in zip(baseline, case.per_item)]
            for case in self.measurements
        ]

    def header(self) -> tuple[str, ...]:
        """Names of the columns."""
        return HEADER if self.has_baseline else (*HEADER[:-1], 'share')

    def rows(self) -> list[tuple[str, ...]]:
        """The table, as text."""
        if self.has_baseline:
            last = [_speed_up(values) for values in self.speed_ups()]
            last[0] = 'baseline'
        else:
            medians = [statistics.median(case.seconds) for case in self.measurements]
            last = [f'{value / sum(medians):.1%}' for value in medians]
        return [
            (
                case.name,
                _duration(statistics.median(case.per_item)),
                f'{_duration(min(case.per_item))} to {_duration(max(case.per_item))}',
                f'{1 / statistics.median(case.per_item):.4g}',
                '' if case.peak_bytes is None else f'{case.peak_bytes / 1e6:.0f} MB',
                text,
            )
            for case, text in zip(self.measurements, last)
        ]

    def to_json(self) -> dict:
        """Everything, in types that JSON knows."""
        content = asdict(self)
        content['measurements'] = [
            dict(
                asdict(case),
                median_seconds_per_item=statistics.median(case.per_item),
            )
            for case in self.measurements
        ]
        if self.has_baseline:
            for case, values in zip(content['measurements'], self.speed_ups()):
                case['speed_up'] = statistics.median(values)
        return content

    def to_markdown(self) -> str:
        """A section of a page: machine, table, notes."""
        lines = [f'{self.title}. Times are per {self.unit}.', '']
        lines += [_markdown_row(self.header())]
        lines += [_markdown_row(('---',) * len(self.header()))]
        lines += [_markdown_row(row) for row in self.rows()]
        lines += ['', *(f'- {note}' for note in self.notes)]
        machine = ', '.join(f'{key}: {value}' for key, value in self.machine.items())
        return '\n'.join([*lines, f'- {machine}'])


def describe_machine(device: str) -> dict[str, str]:
    """What a time depends on besides the code."""
    problem = compiled_ops_problem(torch.device(device).type)
    machine = dict(
        processor=_processor(),
        threads=str(torch.get_num_threads()),
        torch=torch.__version__,
        python=platform.python_version(),
    )
    machine['compiled operators'] = 'no' if problem else 'yes'
    if torch.device(device).type == 'cuda':
        machine['GPU'] = torch.cuda.get_device_name()
    elif hasattr(os, 'getloadavg'):
        # Above the number of threads, other processes got in the way.
        machine['load of the machine at the end'] = f'{os.getloadavg()[0]:.1f}'
    return machine


def _processor() -> str:
    try:
        lines = Path('/proc/cpuinfo').read_text().splitlines()
    except OSError:
        lines = []
    names = [line.split(':', 1)[1].strip() for line in lines if 'model name' in line]
    name = names[0] if names else platform.processor() or platform.machine()
    return f'{os.cpu_count()} x {name}'


def _markdown_row(cells: Sequence[str]) -> str:
    return f'| {" | ".join(cells)} |'


def _speed_up(values: Sequence[float]) -> str:
    median = f'{statistics.median(values):.3g}x'
    return f'{median} ({min(values):.3g} to {max(values):.3g})'


def _duration(seconds: float) -> str:
    if seconds < 1e-3:
        return f'{seconds * 1e6:.3g} us'
    return f'{seconds * 1e3:.3g} ms' if seconds < 1 else f'{seconds:.3g} s'
