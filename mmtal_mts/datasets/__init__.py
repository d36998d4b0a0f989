"""Data sets, windows and pipeline steps."""

from .tal_dataset import TALDataset
from .tal_feature_dataset import TALFeatureDataset
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
