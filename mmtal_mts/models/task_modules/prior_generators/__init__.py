"""Locations of a pyramid."""

from .point_generator import SegmentPointGenerator

__all__ = ['SegmentPointGenerator']
