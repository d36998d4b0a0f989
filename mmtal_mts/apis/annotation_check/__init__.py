"""Checks an annotation file before a training that would suffer from it."""

from .check import CheckSettings, WindowSettings, check_annotations
from .report import CheckReport, Findings, describe_check, describe_findings

__all__ = [
    'CheckReport',
    'CheckSettings',
    'Findings',
    'WindowSettings',
    'check_annotations',
    'describe_check',
    'describe_findings',
]
