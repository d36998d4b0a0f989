"""Speed of every slow step, measured against a straightforward implementation."""

from .report import Report
from .run import BENCHMARKS, run_benchmark

__all__ = ['BENCHMARKS', 'Report', 'run_benchmark']
