"""Metrics for the evaluator of a runner."""

from .raw_outputs import RawOutputWriter
from .tal_metric import TALMetric

__all__ = ['RawOutputWriter', 'TALMetric']
