"""Hooks for what cuts across training."""

from .hooks import *  # noqa: F403
