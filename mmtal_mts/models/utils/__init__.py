from .distributed import mean_count, mean_over_ranks
from .normalizer import LossNormalizer, check_normalizer, keep_chosen, loss_normalizer

__all__ = [
    'LossNormalizer',
    'check_normalizer',
    'keep_chosen',
    'loss_normalizer',
    'mean_count',
    'mean_over_ranks',
]
