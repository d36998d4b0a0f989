"""MMEngine hooks."""

from __future__ import annotations

from mmtal_mts.engine.hooks.backbone_warmup_hook import BackboneWarmupHook
from mmtal_mts.engine.hooks.detection_visualization_hook import (
    DetectionVisualizationHook,
)
from mmtal_mts.engine.hooks.epoch_seed_hook import EpochSeedHook
from mmtal_mts.engine.hooks.invalid_loss_hook import InvalidLossError, InvalidLossHook

__all__ = [
    'BackboneWarmupHook',
    'DetectionVisualizationHook',
    'EpochSeedHook',
    'InvalidLossError',
    'InvalidLossHook',
]
