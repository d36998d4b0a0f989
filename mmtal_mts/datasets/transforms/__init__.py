"""Pipeline steps from a window to a packed sample."""

from .augment import CutInsertBackground, FlipClip, ShuffleFrames
from .formatting import PackTALInputs
from .load_features import LoadFeatures, LoadVideoScores
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
