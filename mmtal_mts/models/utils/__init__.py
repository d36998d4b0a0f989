"""What losses and predictions share."""

from .prediction import (
    add_pred_to_datasample,
    complete_test_cfg,
    select_detections,
)

__all__ = ['add_pred_to_datasample', 'complete_test_cfg', 'select_detections']
