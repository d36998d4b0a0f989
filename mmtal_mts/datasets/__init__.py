"""Data sets, windows and pipeline steps."""

from .features import TALFeatureDataset
from .tal_dataset import TALDataset
from .transforms import (
    FlipClip,
    LoadClip,
    LoadFeatures,
    PackTALInputs,
    ShuffleFrames,
)
from .video import VideoReader, VideoReadError
from .windows import ArrayReader

__all__ = [
    'ArrayReader',
    'FlipClip',
    'LoadClip',
    'LoadFeatures',
    'PackTALInputs',
    'ShuffleFrames',
    'TALDataset',
    'TALFeatureDataset',
    'VideoReadError',
    'VideoReader',
]
