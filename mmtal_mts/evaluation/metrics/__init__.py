"""Metrics for the evaluator of a runner."""

from .raw_outputs import RAW_FILE, RawOutputWriter, load_raw_outputs
from .tal_metric import TALMetric
