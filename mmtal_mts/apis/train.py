"""Trains and tests what a config describes, on GPUs or CPUs."""

from __future__ import annotations

import atexit
import os
from datetime import timedelta

import torch
import torch.distributed as torch_dist
from mmaction.registry import RUNNERS
from mmengine.config import Config
from mmengine.runner import Runner

from ..utils import UserError
from ..utils.checkpoint import check_checkpoint


def build_runner(cfg: Config) -> Runner:
    """Builds the runner of a complete config, ready for the hardware that is there."""
    if cfg.get('launcher', 'none') != 'none' and not torch.cuda.is_available():
        prepare_cpu_processes(cfg)
    return RUNNERS.build(cfg) if 'runner_type' in cfg else Runner.from_cfg(cfg)


def train(cfg: Config) -> Runner:
    """Trains a config of :func:`.prepare_train_config`.

    Raises:
        UserError: The checkpoint to resume from is not of this model.
    """
    runner = build_runner(cfg)
    if cfg.get('resume') and cfg.get('load_from'):
        check_checkpoint(runner.model, cfg.load_from, resume=True)
    runner.train()
    return runner


def test(cfg: Config) -> dict[str, float]:
    """Tests the checkpoint of a config of :func:`.prepare_test_config`.

    Returns:
        The metrics by name.

    Raises:
        UserError: The checkpoint is not of this model.
    """
    runner = build_runner(cfg)
    check_checkpoint(runner.model, cfg.load_from)
    return runner.test()


def prepare_cpu_processes(cfg: Config) -> None:
    """Makes a distributed config run on CPUs, in place.

    MMEngine assumes one GPU per process: it sets the CUDA device and hands its
    number to the model wrapper. Without CUDA the process group is set up here, with
    the gloo backend, and the model is wrapped without a device.

    Raises:
        UserError: The launcher only works with GPUs.
    """
    if cfg.launcher != 'pytorch':
        raise UserError(
            f'--launcher {cfg.launcher} needs CUDA GPUs, and torch sees none. '
            'Remedy: --launcher pytorch (tools/dist_train.sh) works on CPUs as well'
        )
    settings = cfg.get('env_cfg', {}).get('dist_cfg', {})
    backend = settings.get('backend', 'gloo')
    backend = 'gloo' if backend == 'nccl' else backend
    cfg.merge_from_dict({'env_cfg.dist_cfg.backend': backend})
    cfg.model_wrapper_cfg = {
        'type': 'MMDistributedDataParallel',
        'broadcast_buffers': False,
        'find_unused_parameters': cfg.get('find_unused_parameters', False),
        **(cfg.get('model_wrapper_cfg') or {}),
        'device_ids': None,
    }
    if not torch_dist.is_initialized():
        # How long to wait for other processes, in seconds.
        seconds = settings.get('timeout')
        timeout = None if seconds is None else timedelta(seconds=seconds)
        try:
            torch_dist.init_process_group(backend=backend, timeout=timeout)
        except ValueError as error:
            raise UserError(
                f'--launcher pytorch: {error}. Remedy: start with '
                'tools/dist_train.sh or torchrun, which set the environment'
            ) from error
        # Gloo's threads must end before the interpreter does, or it may abort.
        atexit.register(
            lambda: torch_dist.is_initialized() and torch_dist.destroy_process_group()
        )
    os.environ.setdefault('LOCAL_RANK', os.environ.get('RANK', '0'))
