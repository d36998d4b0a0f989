"""Metrics for the evaluator of a runner."""

from .tal_metric import TALMetric

__all__ = ['TALMetric']
