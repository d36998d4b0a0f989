"""Hooks for what cuts across training."""

from __future__ import annotations

from mmtal_mts.engine.hooks import InvalidLossError, InvalidLossHook

__all__ = ['InvalidLossError', 'InvalidLossHook']
