"""From detections and ground truth to numbers."""

from .functional import (
    MeanAPResult,
    dump_detections,
    load_detections,
    mean_average_precision,
    merge_videos,
    merge_windows,
)
from .metrics import RawOutputWriter, TALMetric

__all__ = [
    'MeanAPResult',
    'RawOutputWriter',
    'TALMetric',
    'dump_detections',
    'load_detections',
    'mean_average_precision',
    'merge_videos',
    'merge_windows',
]
