"""Hooks for what cuts across training."""

from __future__ import annotations

from mmtal_mts.engine.hooks import (
    BackboneWarmupHook,
    DetectionVisualizationHook,
    EpochSeedHook,
    InvalidLossError,
    InvalidLossHook,
)

__all__ = [
    'BackboneWarmupHook',
    'DetectionVisualizationHook',
    'EpochSeedHook',
    'InvalidLossError',
    'InvalidLossHook',
]
