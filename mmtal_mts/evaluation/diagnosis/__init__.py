"""What is wrong with detections: which errors, where, and what they cost."""

from .buckets import DEFAULT_EDGES, PAPER_EDGES, CharacteristicEdges
from .diagnose import Diagnosis, diagnose
from .errors import ERROR_KINDS, FIXES, KINDS, classify_detections

__all__ = [
    'DEFAULT_EDGES',
    'ERROR_KINDS',
    'FIXES',
    'KINDS',
    'PAPER_EDGES',
    'CharacteristicEdges',
    'Diagnosis',
    'classify_detections',
    'diagnose',
]
