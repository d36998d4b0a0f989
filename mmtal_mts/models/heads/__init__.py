from .boundary_refine_head import BoundaryRefineHead
from .coarse_head import CoarseHead
from .dense_classification_head import DenseClassificationHead
from .frame_self_attention import FrameSelfAttention

__all__ = [
    'BoundaryRefineHead',
    'CoarseHead',
    'DenseClassificationHead',
    'FrameSelfAttention',
]
