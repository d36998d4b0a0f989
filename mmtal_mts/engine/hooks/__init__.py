"""MMEngine hooks."""

from .backbone_warmup_hook import BackboneWarmupHook
from .visualization_hook import DetectionVisualizationHook
from .epoch_seed_hook import EpochSeedHook
from .invalid_loss_hook import InvalidLossHook

__all__ = [
    'BackboneWarmupHook',
    'DetectionVisualizationHook',
    'EpochSeedHook',
    'InvalidLossHook',
]
