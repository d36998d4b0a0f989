"""Wiring for a person: configs, checkpoints, training, testing and inference."""

from __future__ import annotations

from mmtal_mts.apis.config import (
    load_config,
    merge_options,
    prepare_test_config,
    prepare_train_config,
)
from mmtal_mts.apis.fusion import fuse_streams
from mmtal_mts.apis.inference import TALInferencer
from mmtal_mts.apis.model_zoo import (
    ModelInfo,
    find_config,
    find_weights,
    list_models,
    load_model,
    model_info,
)
from mmtal_mts.apis.train import build_runner, test, train

__all__ = [
    'ModelInfo',
    'TALInferencer',
    'build_runner',
    'find_config',
    'find_weights',
    'fuse_streams',
    'list_models',
    'load_config',
    'load_model',
    'merge_options',
    'model_info',
    'prepare_test_config',
    'prepare_train_config',
    'test',
    'train',
]
