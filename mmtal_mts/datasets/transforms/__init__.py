"""Pipeline steps from a window to a packed sample."""

from .augment import FlipClip, ShuffleFrames
from .cut_insert import CutInsertBackground
from .formatting import PackTALInputs
from .loading import LoadClip
from .video_readers import VideoReadError
from .video_scores import LoadVideoScores

__all__ = [
    'CutInsertBackground',
    'FlipClip',
    'LoadClip',
    'LoadVideoScores',
    'PackTALInputs',
    'ShuffleFrames',
    'VideoReadError',
]
