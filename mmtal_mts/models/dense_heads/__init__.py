"""The two heads, and one that trains a backbone alone."""

from .boundary_refine_head import BoundaryRefineHead
from .coarse_head import CoarseHead
from .dense_classification_head import DenseClassificationHead
from .outputs import RAW_OUTPUTS, CoarseOutputs, RefineOutputs, raw_outputs

__all__ = [
    'RAW_OUTPUTS',
    'BoundaryRefineHead',
    'CoarseHead',
    'CoarseOutputs',
    'DenseClassificationHead',
    'RefineOutputs',
    'raw_outputs',
]
