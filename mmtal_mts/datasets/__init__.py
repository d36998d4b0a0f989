"""Data sets, windows and pipeline steps."""

from .tal_dataset import TALDataset
from .transforms import FlipClip, LoadClip, PackTALInputs, ShuffleFrames, VideoReadError

__all__ = [
    'FlipClip',
    'LoadClip',
    'PackTALInputs',
    'ShuffleFrames',
    'TALDataset',
    'VideoReadError',
]
