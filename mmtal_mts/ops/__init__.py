"""Operators that know neither models nor data sets."""

from .boundary_pooling import boundary_max_pooling, boundary_max_pooling_levels
from .compiled import compiled_ops_problem
from .max_pooling import same_max_pool3d
from .same_padding import same_padding
from .soft_nms import soft_nms_1d

__all__ = [
    'boundary_max_pooling',
    'boundary_max_pooling_levels',
    'compiled_ops_problem',
    'same_max_pool3d',
    'same_padding',
    'soft_nms_1d',
]
