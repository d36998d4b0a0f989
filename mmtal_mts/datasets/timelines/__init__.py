"""Untrimmed videos put together from clips."""

from .assemble import assemble_dataset
from .clips import Clip, read_clips
from .layout import Part, Timeline, TimelineSettings, plan_timelines
from .places import place_background

__all__ = [
    'Clip',
    'Part',
    'Timeline',
    'TimelineSettings',
    'assemble_dataset',
    'place_background',
    'plan_timelines',
    'read_clips',
]
