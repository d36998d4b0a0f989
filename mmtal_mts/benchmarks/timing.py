"""Runs alternatives in turn and keeps time and memory."""

from __future__ import annotations

import ctypes
import gc
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch

CLOCKS = dict(wall=time.perf_counter, cpu=time.process_time)
_LIBC = ctypes.CDLL(None) if sys.platform == 'linux' else None


@dataclass(frozen=True)
class Case:
    """One way to do the work.

    Attributes:
        name: What it is called in the table.
        run: Does the work once.
        items: How much of the work that is, in the unit of the benchmark. A slow
            alternative may do less of it.
    """

    name: str
    run: Callable[[], object]
    items: float = 1.0


@dataclass
class Measurement:
    """What was measured of one case.

    Attributes:
        name: Name of the case.
        items: Work of one run, in the unit of the benchmark.
        seconds: Duration of each run.
        peak_bytes: Largest memory that a run took on top of what was held before it
            (resident memory on a CPU, allocated memory on a GPU); None where the
            system does not tell.
    """

    name: str
    items: float
    seconds: list[float] = field(default_factory=list)
    peak_bytes: int | None = None

    @property
    def per_item(self) -> list[float]:
        """Seconds per unit of work, run by run."""
        return [value / self.items for value in self.seconds]


class PeakMemory:
    """Largest memory held from :meth:`start` to :meth:`stop`, above the start.

    Args:
        device: Where the work is done.
    """

    def __init__(self, device: str) -> None:
        self._on_gpu = torch.device(device).type == 'cuda'
        self._before = 0

    def start(self) -> None:
        """Begins anew."""
        if self._on_gpu:
            torch.cuda.reset_peak_memory_stats()
            self._before = torch.cuda.memory_allocated()
            return
        if sys.platform == 'linux' and hasattr(_LIBC, 'malloc_trim'):
            # Memory that was freed, but not given back, would be used unseen.
            _LIBC.malloc_trim(0)
        try:
            # Resets the high-water mark of this process (Linux).
            Path('/proc/self/clear_refs').write_text('5')
        except OSError:
            return
        self._before = _status_bytes('VmRSS') or 0

    def stop(self) -> int | None:
        """The largest memory since the start in bytes, None if it is not known."""
        if self._on_gpu:
            return torch.cuda.max_memory_allocated() - self._before
        peak = _status_bytes('VmHWM')
        if peak is None or not self._before:
            return None
        return max(peak - self._before, 0)


def _status_bytes(key: str) -> int | None:
    """A size from Linux' /proc/self/status, None elsewhere."""
    try:
        lines = Path('/proc/self/status').read_text().splitlines()
    except OSError:
        return None
    found = [line.split() for line in lines if line.startswith(f'{key}:')]
    return int(found[0][1]) * 1024 if found else None


def measure(
    cases: Sequence[Case],
    runs: int = 5,
    warmup: int = 1,
    device: str = 'cpu',
    clock: str = 'wall',
) -> list[Measurement]:
    """Runs the cases in turn, so that a busy machine is unfair to none of them.

    Args:
        cases: The alternatives.
        runs: Rounds that are kept.
        warmup: Rounds before that.
        device: Where the work is done; a GPU is waited for.
        clock: 'wall', or 'cpu' for the time the process had a processor.

    Returns:
        One measurement per case.

    Raises:
        ValueError: If there is nothing to run, or the clock is unknown.
    """
    if clock not in CLOCKS:
        raise ValueError(f'clock={clock!r}: choose from {tuple(CLOCKS)}')
    if runs < 1 or warmup < 0:
        raise ValueError(f'runs={runs} must be >= 1 and warmup={warmup} >= 0')
    results = [Measurement(case.name, case.items) for case in cases]
    memory = PeakMemory(device)
    for number in range(warmup + runs):
        gc.collect()
        for case, result in zip(cases, results):
            memory.start()
            seconds = _time(case.run, device, CLOCKS[clock])
            peak = memory.stop()
            if number < warmup:
                continue
            result.seconds.append(seconds)
            if peak is not None:
                result.peak_bytes = max(peak, result.peak_bytes or 0)
    return results


def _time(run: Callable[[], object], device: str, now: Callable[[], float]) -> float:
    on_gpu = torch.device(device).type == 'cuda'
    if on_gpu:
        torch.cuda.synchronize()
    start = now()
    run()
    if on_gpu:
        torch.cuda.synchronize()
    return now() - start
