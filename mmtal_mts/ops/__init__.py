"""Operators that know neither models nor data sets."""

from .boundary_pooling import boundary_max_pooling, boundary_max_pooling_levels
from .compiled import compiled_ops_problem
from .soft_nms import soft_nms_1d
