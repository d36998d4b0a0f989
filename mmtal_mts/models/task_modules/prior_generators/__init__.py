from .point_generator import SegmentPointGenerator

__all__ = ['SegmentPointGenerator']
