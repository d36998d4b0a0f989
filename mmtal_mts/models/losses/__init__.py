from .boundary_losses import BoundaryBCELoss, BoundaryTripletLoss
from .focal_loss import SoftmaxFocalLoss
from .quality_loss import QualityBCELoss
from .segment_losses import SegmentGIoULoss, SegmentSmoothL1Loss

__all__ = [
    'BoundaryBCELoss',
    'BoundaryTripletLoss',
    'QualityBCELoss',
    'SegmentGIoULoss',
    'SegmentSmoothL1Loss',
    'SoftmaxFocalLoss',
]
