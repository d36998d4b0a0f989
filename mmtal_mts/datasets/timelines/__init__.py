"""Untrimmed videos put together from clips."""

from .assemble import assemble_dataset
from .clips import Clip, read_clips
from .layout import Part, Timeline, TimelineSettings, plan_timelines

__all__ = [
    'Clip',
    'Part',
    'Timeline',
    'TimelineSettings',
    'assemble_dataset',
    'plan_timelines',
    'read_clips',
]
