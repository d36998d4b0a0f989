"""Many trainings that differ in one thing each, and the table that compares them."""

from __future__ import annotations

from .plan import AblationPlan, Fold, Variant, read_plan
from .prepare import prepare_runs
from .report import write_report
from .run import AblationRun, RunResult
from .scheduler import run_all

__all__ = [
    'AblationPlan',
    'AblationRun',
    'Fold',
    'RunResult',
    'Variant',
    'prepare_runs',
    'read_plan',
    'run_all',
    'write_report',
]
