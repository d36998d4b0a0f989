"""Hooks for what cuts across training."""

from __future__ import annotations

from mmtal_mts.engine.hooks import (
    BackboneWarmupHook,
    InvalidLossError,
    InvalidLossHook,
)

__all__ = ['BackboneWarmupHook', 'InvalidLossError', 'InvalidLossHook']
