"""Label assignment."""

from .segment_assigner import SegmentAssigner, SegmentTargets

__all__ = ['SegmentAssigner', 'SegmentTargets']
