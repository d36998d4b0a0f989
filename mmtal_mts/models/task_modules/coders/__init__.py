"""Coding of segments."""

from .segment_coder import SegmentCoder

__all__ = ['SegmentCoder']
