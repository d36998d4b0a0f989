"""What losses and predictions share."""

from .distances import distance_giou, distance_tiou
from .loss_utils import (
    WeightedLoss,
    check_normalizer,
    class_conv,
    keep_chosen,
    loss_weights,
    mean_count,
    mean_over_chosen,
    mean_over_ranks,
)
from .prediction import (
    add_pred_to_datasample,
    complete_test_cfg,
    select_detections,
)

__all__ = [
    'WeightedLoss',
    'add_pred_to_datasample',
    'check_normalizer',
    'class_conv',
    'complete_test_cfg',
    'distance_giou',
    'distance_tiou',
    'keep_chosen',
    'loss_weights',
    'mean_count',
    'mean_over_chosen',
    'mean_over_ranks',
    'select_detections',
]
