"""What is wrong with detections: which errors, where, and what they cost."""

from .buckets import PAPER_EDGES
from .diagnose import Diagnosis, diagnose
from .errors import ERROR_KINDS, FIXES, KINDS, classify_detections

__all__ = [
    'ERROR_KINDS',
    'FIXES',
    'KINDS',
    'PAPER_EDGES',
    'Diagnosis',
    'classify_detections',
    'diagnose',
]
