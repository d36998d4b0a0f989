"""Pictures of segments and frames."""

from .film_strip import read_frames, read_strip
from .timeline import Timeline, draw_timeline, draw_timelines

__all__ = [
    'Timeline',
    'draw_timeline',
    'draw_timelines',
    'read_frames',
    'read_strip',
]
