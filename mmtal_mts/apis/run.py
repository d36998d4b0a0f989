"""Trains and tests what a config describes."""

from __future__ import annotations

from mmaction.registry import RUNNERS
from mmengine.config import Config
from mmengine.runner import Runner

from mmtal_mts.apis.checkpoint import check_checkpoint
from mmtal_mts.apis.distributed import prepare_distributed


def build_runner(cfg: Config) -> Runner:
    """Builds the runner of a config, ready for the hardware that is there.

    Args:
        cfg: A complete config, with ``work_dir`` and ``launcher``.

    Returns:
        The runner.
    """
    prepare_distributed(cfg)
    if 'runner_type' in cfg:
        return RUNNERS.build(cfg)
    return Runner.from_cfg(cfg)


def train(cfg: Config) -> Runner:
    """Trains, from the start or from ``cfg.load_from``.

    Args:
        cfg: A config prepared by
            :func:`~mmtal_mts.apis.config.prepare_train_config`.

    Returns:
        The runner, after training.
    """
    runner = build_runner(cfg)
    if cfg.get('resume') and cfg.get('load_from'):
        check_checkpoint(runner.model, cfg.load_from, resume=True)
    runner.train()
    return runner


def test(cfg: Config) -> dict[str, float]:
    """Tests the checkpoint ``cfg.load_from``.

    Args:
        cfg: A config prepared by
            :func:`~mmtal_mts.apis.config.prepare_test_config`.

    Returns:
        The metrics by name.
    """
    runner = build_runner(cfg)
    check_checkpoint(runner.model, cfg.load_from)
    return runner.test()
