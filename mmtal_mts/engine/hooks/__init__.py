"""MMEngine hooks."""

from .backbone_warmup_hook import BackboneWarmupHook
from .epoch_seed_hook import EpochSeedHook
from .invalid_loss_hook import InvalidLossHook
from .visualization_hook import DetectionVisualizationHook

__all__ = [
    'BackboneWarmupHook',
    'DetectionVisualizationHook',
    'EpochSeedHook',
    'InvalidLossHook',
]
