"""The two heads, and one that trains a backbone alone."""

from .boundary_refine_head import BoundaryRefineHead
from .coarse_head import CoarseHead
from .dense_classification_head import DenseClassificationHead
from .outputs import (
    RAW_OUTPUTS,
    CoarseOutputs,
    RefineOutputs,
    add_pred_to_datasample,
    complete_test_cfg,
    raw_outputs,
    select_detections,
)
