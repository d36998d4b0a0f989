"""Pipeline steps from a window to a packed sample."""

from .augment import FlipClip, ShuffleFrames
from .cut_insert import CutInsertBackground
from .formatting import PackTALInputs
from .load_features import LoadFeatures
from .loading import LoadClip
from .second_stream import AppendClip
from .video_readers import VideoReadError
from .video_scores import LoadVideoScores

__all__ = [
    'AppendClip',
    'CutInsertBackground',
    'FlipClip',
    'LoadClip',
    'LoadFeatures',
    'LoadVideoScores',
    'PackTALInputs',
    'ShuffleFrames',
    'VideoReadError',
]
