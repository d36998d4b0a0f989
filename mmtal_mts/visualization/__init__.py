"""Pictures of detections and ground truth."""

from .tal_visualizer import TALVisualizer, window_timeline
from .timeline import (
    FAINT,
    GRID,
    INK,
    MATCH_TIOU,
    STRIP_ASPECT,
    Timeline,
    class_color,
    clip_frames,
    render_timelines,
    write_picture,
)
