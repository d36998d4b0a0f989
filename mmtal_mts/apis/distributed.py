"""Distributed training on machines without a GPU."""

from __future__ import annotations

import atexit
import os
from collections.abc import Mapping
from datetime import timedelta

import torch
import torch.distributed as torch_dist
from mmengine.config import Config

from mmtal_mts.utils import UserError


def prepare_distributed(cfg: Config) -> None:
    """Makes a distributed config run on CPUs if there is no GPU, in place.

    MMEngine assumes one GPU per process: it sets the CUDA device and hands its
    number to the model wrapper. Without CUDA we set the process group up ourselves,
    with the gloo backend, and wrap the model without a device.

    Args:
        cfg: The config. Unchanged if it is not distributed or CUDA is there.

    Raises:
        UserError: If the launcher only works with GPUs.
    """
    launcher = cfg.get('launcher', 'none')
    if launcher == 'none' or torch.cuda.is_available():
        return
    if launcher != 'pytorch':
        raise UserError(
            f'--launcher {launcher} needs CUDA GPUs, and torch sees none. '
            'Remedy: --launcher pytorch (tools/dist_train.sh) works on CPUs as well'
        )
    settings = cfg.get('env_cfg', {}).get('dist_cfg', {})
    backend = settings.get('backend', 'gloo')
    if backend == 'nccl':
        backend = 'gloo'
    cfg.merge_from_dict({'env_cfg.dist_cfg.backend': backend})
    wrapper = dict(
        type='MMDistributedDataParallel',
        broadcast_buffers=False,
        find_unused_parameters=cfg.get('find_unused_parameters', False),
    )
    wrapper.update(cfg.get('model_wrapper_cfg') or {})
    wrapper['device_ids'] = None
    cfg.model_wrapper_cfg = wrapper
    if not torch_dist.is_initialized():
        try:
            torch_dist.init_process_group(backend=backend, **_timeout(settings))
        except ValueError as error:
            raise UserError(
                f'--launcher pytorch: {error}. Remedy: start with '
                'tools/dist_train.sh or torchrun, which set the environment'
            ) from error
        # Gloo's threads must end before the interpreter does, or it may abort.
        atexit.register(_leave)
    os.environ.setdefault('LOCAL_RANK', os.environ.get('RANK', '0'))


def _timeout(settings: Mapping) -> dict[str, timedelta]:
    """How long to wait for other processes: ``dist_cfg.timeout`` in seconds."""
    seconds = settings.get('timeout')
    return {} if seconds is None else dict(timeout=timedelta(seconds=seconds))


def _leave() -> None:
    if torch_dist.is_initialized():
        torch_dist.destroy_process_group()
