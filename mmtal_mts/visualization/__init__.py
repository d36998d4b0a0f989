"""Pictures of segments and frames."""

from .film_strip import clip_frames, read_frames, read_strip
from .timeline import Timeline, draw_timeline, draw_timelines, render_timelines

__all__ = [
    'Timeline',
    'clip_frames',
    'draw_timeline',
    'draw_timelines',
    'read_frames',
    'read_strip',
    'render_timelines',
]
