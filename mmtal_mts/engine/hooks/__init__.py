"""MMEngine hooks."""

from .training_hooks import BackboneWarmupHook, EpochSeedHook, InvalidLossHook
from .visualization_hook import DetectionVisualizationHook

__all__ = [
    'BackboneWarmupHook',
    'DetectionVisualizationHook',
    'EpochSeedHook',
    'InvalidLossHook',
]
