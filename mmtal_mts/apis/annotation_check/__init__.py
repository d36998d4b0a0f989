"""Checks an annotation file before a training that would suffer from it."""

from .check import CheckSettings, check_annotations
from .findings import Finding, Findings
from .repair import repair_annotations
from .report import CheckReport, describe_check

__all__ = [
    'CheckReport',
    'CheckSettings',
    'Finding',
    'Findings',
    'check_annotations',
    'describe_check',
    'repair_annotations',
]
