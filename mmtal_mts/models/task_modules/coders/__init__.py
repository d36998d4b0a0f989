"""Coding of segments."""

from .segment_coder import SegmentCoder
