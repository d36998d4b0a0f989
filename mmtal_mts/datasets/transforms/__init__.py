"""Pipeline steps from a window to a packed sample."""

from ..features import LoadFeatures, LoadVideoScores
from .augment import CutInsertBackground, FlipClip, ShuffleFrames
from .formatting import PackTALInputs
from .loading import AppendClip, LoadClip

__all__ = [
    'AppendClip',
    'CutInsertBackground',
    'FlipClip',
    'LoadClip',
    'LoadFeatures',
    'LoadVideoScores',
    'PackTALInputs',
    'ShuffleFrames',
]
