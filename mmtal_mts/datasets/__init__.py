"""Data sets, windows and pipeline steps."""

from .feature_dataset import TALFeatureDataset
from .tal_dataset import TALDataset
from .transforms import (
    FlipClip,
    LoadClip,
    LoadFeatures,
    PackTALInputs,
    ShuffleFrames,
    VideoReadError,
)

__all__ = [
    'FlipClip',
    'LoadClip',
    'LoadFeatures',
    'PackTALInputs',
    'ShuffleFrames',
    'TALDataset',
    'TALFeatureDataset',
    'VideoReadError',
]
