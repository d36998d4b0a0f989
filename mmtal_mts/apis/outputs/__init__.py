"""Files in which detections are shown and passed on."""

from __future__ import annotations

from .result import GroundTruth, VideoResult

__all__ = ['GroundTruth', 'VideoResult']
