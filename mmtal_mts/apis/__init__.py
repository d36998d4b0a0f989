"""Wiring for a person: configs, checkpoints, training, testing and inference."""

from .config import (
    load_config,
    merge_options,
    prepare_test_config,
    prepare_train_config,
)
from .model_zoo import find_config, find_weights, init_model, list_models
from .tal_inferencer import TALInferencer
from .train import build_runner, test, train

__all__ = [
    'TALInferencer',
    'build_runner',
    'find_config',
    'find_weights',
    'init_model',
    'list_models',
    'load_config',
    'merge_options',
    'prepare_test_config',
    'prepare_train_config',
    'test',
    'train',
]
