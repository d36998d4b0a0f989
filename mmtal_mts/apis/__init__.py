"""Wiring for a person: configs, checkpoints, training, testing and inference."""

from .model_zoo import find_config, find_weights, init_model, list_models
from .runner import (
    CfgOptionsAction,
    build_runner,
    load_config,
    parse_runner_args,
    prepare_test_config,
    prepare_train_config,
    test,
    train,
)
from .tal_inferencer import TALInferencer

__all__ = [
    'CfgOptionsAction',
    'TALInferencer',
    'build_runner',
    'find_config',
    'find_weights',
    'init_model',
    'list_models',
    'load_config',
    'parse_runner_args',
    'prepare_test_config',
    'prepare_train_config',
    'test',
    'train',
]
