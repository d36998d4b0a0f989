"""From detections and ground truth to numbers."""

from .functional.detections import dump_detections, load_detections
from .functional.mean_ap import mean_average_precision
from .functional.post_processing import merge_windows
from .metrics import RawOutputWriter, TALMetric

__all__ = [
    'RawOutputWriter',
    'TALMetric',
    'dump_detections',
    'load_detections',
    'mean_average_precision',
    'merge_windows',
]
