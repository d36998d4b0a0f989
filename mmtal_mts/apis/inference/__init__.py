"""Inference on videos."""

from __future__ import annotations

from .inferencer import TALInferencer
from .inputs import VideoInput, find_videos

__all__ = ['TALInferencer', 'VideoInput', 'find_videos']
