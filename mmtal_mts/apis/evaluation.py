"""See :mod:`mmtal_mts.evaluation.protocols`."""

from ..evaluation.protocols import EvaluationData, load_evaluation_data

__all__ = ['EvaluationData', 'load_evaluation_data']
