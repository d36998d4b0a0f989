from .boundary_curves import BoundaryCurveGenerator
from .boundary_regions import BoundaryRegionGenerator
from .decoder import CoarseToFineDecoder
from .point_generator import SegmentPointGenerator
from .segment_assigner import SegmentAssigner, SegmentTargets

__all__ = [
    'BoundaryCurveGenerator',
    'BoundaryRegionGenerator',
    'CoarseToFineDecoder',
    'SegmentAssigner',
    'SegmentPointGenerator',
    'SegmentTargets',
]
