"""Evaluation without a framework around it: numpy in, numpy out."""

from .detections import Detections, dump_detections, load_detections
from .mean_ap import MeanAPResult, mean_average_precision
from .merge import WindowMerger

__all__ = [
    'Detections',
    'MeanAPResult',
    'WindowMerger',
    'dump_detections',
    'load_detections',
    'mean_average_precision',
]
