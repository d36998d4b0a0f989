"""Wiring for a person: configs, checkpoints, training, testing and inference."""

from __future__ import annotations

from mmtal_mts.apis.checkpoint import check_checkpoint
from mmtal_mts.apis.config import (
    load_config,
    merge_options,
    prepare_test_config,
    prepare_train_config,
)
from mmtal_mts.apis.fusion import fuse_streams
from mmtal_mts.apis.inference import TALInferencer
from mmtal_mts.apis.release import publish_checkpoint
from mmtal_mts.apis.run import build_runner, test, train

__all__ = [
    'TALInferencer',
    'build_runner',
    'check_checkpoint',
    'fuse_streams',
    'load_config',
    'merge_options',
    'prepare_test_config',
    'prepare_train_config',
    'publish_checkpoint',
    'test',
    'train',
]
