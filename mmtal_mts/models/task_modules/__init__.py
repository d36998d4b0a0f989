"""Points, targets, coding of segments, regions of boundaries."""

from .assigners import SegmentAssigner, SegmentTargets
from .boundary_regions import BoundaryCurveGenerator, BoundaryRegionGenerator
from .coders import SegmentCoder
from .prior_generators import SegmentPointGenerator

__all__ = [
    'BoundaryCurveGenerator',
    'BoundaryRegionGenerator',
    'SegmentAssigner',
    'SegmentCoder',
    'SegmentPointGenerator',
    'SegmentTargets',
]
