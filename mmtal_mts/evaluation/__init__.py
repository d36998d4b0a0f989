"""From detections and ground truth to numbers."""

from .functional import (
    Detections,
    MeanAPResult,
    WindowMerger,
    dump_detections,
    load_detections,
    mean_average_precision,
)
from .metrics import RawOutputWriter, TALMetric

__all__ = [
    'Detections',
    'MeanAPResult',
    'RawOutputWriter',
    'TALMetric',
    'WindowMerger',
    'dump_detections',
    'load_detections',
    'mean_average_precision',
]
