"""Inference on videos."""

from __future__ import annotations

from .batch import BatchInference, BatchReport
from .inferencer import TALInferencer
from .inputs import VideoInput, find_videos
from .model_files import find_config, find_weights
from .processes import Processes

__all__ = [
    'BatchInference',
    'BatchReport',
    'Processes',
    'TALInferencer',
    'VideoInput',
    'find_config',
    'find_videos',
    'find_weights',
]
