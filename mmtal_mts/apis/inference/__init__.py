"""Inference on videos."""

from __future__ import annotations

from .batch import BatchInference, BatchReport
from .inferencer import TALInferencer
from .inputs import VideoInput, find_videos
from .processes import Processes

__all__ = [
    'BatchInference',
    'BatchReport',
    'Processes',
    'TALInferencer',
    'VideoInput',
    'find_videos',
]
