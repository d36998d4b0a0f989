"""Locations of a pyramid, regions and curves of boundaries."""

from .segment_generators import (
    BoundaryCurveGenerator,
    BoundaryRegionGenerator,
    SegmentPointGenerator,
)
