"""What is wrong with detections: which errors, where, and what they cost."""

from .diagnose import Diagnosis, diagnose
from .errors import ERROR_KINDS, KINDS, classify_detections
from .missed import DEFAULT_EDGES, CharacteristicEdges

__all__ = [
    'DEFAULT_EDGES',
    'ERROR_KINDS',
    'KINDS',
    'CharacteristicEdges',
    'Diagnosis',
    'classify_detections',
    'diagnose',
]
