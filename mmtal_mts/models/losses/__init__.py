from .boundary_losses import BoundaryBCELoss, BoundaryTripletLoss
from .box_loss import SegmentBoxLoss, build_distance_loss
from .focal_loss import SoftmaxFocalLoss
from .quality_loss import QualityBCELoss
from .segment_losses import SegmentGIoULoss, SegmentSmoothL1Loss

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
