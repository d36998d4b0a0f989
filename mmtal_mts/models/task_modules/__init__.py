"""Points, regions and curves of boundaries, assignment and coding of segments."""

from .assigners import SegmentAssigner, SegmentTargets
from .coders import SegmentCoder
from .prior_generators import (
    BoundaryCurveGenerator,
    BoundaryRegionGenerator,
    SegmentPointGenerator,
)
