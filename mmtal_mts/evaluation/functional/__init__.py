"""Evaluation without a framework around it: numpy in, numpy out."""

from .detections import dump_detections, load_detections
from .mean_ap import MeanAPResult, mean_average_precision
from .post_processing import merge_videos, merge_windows

__all__ = [
    'MeanAPResult',
    'dump_detections',
    'load_detections',
    'mean_average_precision',
    'merge_videos',
    'merge_windows',
]
