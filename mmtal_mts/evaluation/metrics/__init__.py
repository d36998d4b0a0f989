"""Metrics for the evaluator of a runner."""

from .raw_output_writer import RawOutputWriter
from .tal_metric import TALMetric

__all__ = ['RawOutputWriter', 'TALMetric']
