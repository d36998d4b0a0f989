"""What is wrong with detections: which errors, where, and what they cost."""

from .characteristics import DEFAULT_EDGES, PAPER_EDGES, CharacteristicEdges
from .diagnose import Diagnosis, diagnose
from .errors import ERROR_KINDS, KINDS, classify_detections

__all__ = [
    'DEFAULT_EDGES',
    'ERROR_KINDS',
    'KINDS',
    'PAPER_EDGES',
    'CharacteristicEdges',
    'Diagnosis',
    'classify_detections',
    'diagnose',
]
