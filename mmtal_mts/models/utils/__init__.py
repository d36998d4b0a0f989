from .backbone_weights import load_backbone_weights
from .distributed import mean_count, mean_over_ranks
from .fitting import fit_neck, fit_warmup_head
from .normalizer import LossNormalizer, check_normalizer, keep_chosen, loss_normalizer

__all__ = [
    'LossNormalizer',
    'check_normalizer',
    'fit_neck',
    'fit_warmup_head',
    'keep_chosen',
    'load_backbone_weights',
    'loss_normalizer',
    'mean_count',
    'mean_over_ranks',
]
