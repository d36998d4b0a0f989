"""Models by their names: configs, what is known of them, weights."""

from __future__ import annotations

from .configs import find_config
from .index import ModelInfo, list_models, model_info
from .load import load_model
from .weights import find_weights

__all__ = [
    'ModelInfo',
    'find_config',
    'find_weights',
    'list_models',
    'load_model',
    'model_info',
]
