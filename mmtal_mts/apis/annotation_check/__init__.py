"""Checks an annotation file before a training that would suffer from it."""

from .check import check_annotations, load_content
from .findings import Finding, Findings
from .repair import repair_annotations
from .report import CheckReport, describe_check, describe_findings
from .settings import CheckSettings, WindowSettings

__all__ = [
    'CheckReport',
    'CheckSettings',
    'Finding',
    'Findings',
    'WindowSettings',
    'check_annotations',
    'describe_check',
    'describe_findings',
    'load_content',
    'repair_annotations',
]
