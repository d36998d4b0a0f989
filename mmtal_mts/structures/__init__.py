"""Segments, annotations and units; nothing that knows networks."""

from .annotations import (
    AnnotationError,
    Annotations,
    VideoAnnotation,
    load_annotations,
)
from .segments import Segments, aligned_tiou, pairwise_tiou
from .timebase import (
    frames_to_seconds,
    num_sampled_frames,
    seconds_to_frames,
    source_frame_indices,
)
