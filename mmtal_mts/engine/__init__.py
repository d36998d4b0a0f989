"""Hooks for what cuts across training."""

from .hooks import (
    BackboneWarmupHook,
    DetectionVisualizationHook,
    EpochSeedHook,
    InvalidLossHook,
)

__all__ = [
    'BackboneWarmupHook',
    'DetectionVisualizationHook',
    'EpochSeedHook',
    'InvalidLossHook',
]
