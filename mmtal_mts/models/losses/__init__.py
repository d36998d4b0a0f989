"""Losses of both heads."""

from .boundary_losses import BoundaryBCELoss, BoundaryTripletLoss
from .segment_losses import (
    QualityBCELoss,
    SegmentBoxLoss,
    SegmentGIoULoss,
    SegmentSmoothL1Loss,
    SoftmaxFocalLoss,
    build_distance_loss,
)
