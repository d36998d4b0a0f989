"""Label assignment."""

from .segment_assigner import SegmentAssigner, SegmentTargets
