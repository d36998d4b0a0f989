"""Losses of both heads."""

from .boundary_losses import BoundaryBCELoss, BoundaryTripletLoss
from .focal_loss import QualityBCELoss, SoftmaxFocalLoss
from .segment_losses import (
    SegmentBoxLoss,
    SegmentGIoULoss,
    SegmentSmoothL1Loss,
    build_distance_loss,
)

__all__ = [
    'BoundaryBCELoss',
    'BoundaryTripletLoss',
    'QualityBCELoss',
    'SegmentBoxLoss',
    'SegmentGIoULoss',
    'SegmentSmoothL1Loss',
    'SoftmaxFocalLoss',
    'build_distance_loss',
]
