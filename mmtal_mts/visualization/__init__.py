"""Pictures of segments and frames."""

from .film_strip import clip_frames, read_strip, shrink_image
from .tal_visualizer import TALVisualizer
from .timeline import (
    MATCH_TIOU,
    Timeline,
    class_color,
    draw_timelines,
    render_timelines,
)

__all__ = [
    'MATCH_TIOU',
    'TALVisualizer',
    'Timeline',
    'class_color',
    'clip_frames',
    'draw_timelines',
    'read_strip',
    'render_timelines',
    'shrink_image',
]
