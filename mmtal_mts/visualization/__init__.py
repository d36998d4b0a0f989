"""Pictures of segments and frames."""

from .film_strip import clip_frames
from .timeline import Timeline, draw_timeline, draw_timelines, render_timelines

__all__ = [
    'Timeline',
    'clip_frames',
    'draw_timeline',
    'draw_timelines',
    'render_timelines',
]
