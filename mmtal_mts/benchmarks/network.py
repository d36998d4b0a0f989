"""The whole network, forward and in training."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from mmaction.registry import MODELS
from mmaction.structures import ActionDataSample
from mmengine.structures import InstanceData
from torch import Tensor, nn

from mmtal_mts.apis.config import load_config
from mmtal_mts.utils import UserError
from mmtal_mts.utils.shipped_files import shipped_path

from .plain_network import make_plain
from .timing import Case

AFSD_CONFIG = shipped_path('configs/_base_/models/afsd_i3d_thumos14.py')
TAL_MTS_CONFIG = shipped_path('configs/_base_/models/tal-mts_i3d.py')


def build_model(config: str | os.PathLike, device: str = 'cpu') -> nn.Module:
    """Builds the model of a config with random weights.

    Args:
        config: Config file with a ``model``.
        device: Where it goes.

    Returns:
        The model.

    Raises:
        UserError: If the config has no model.
    """
    cfg = load_config(config)
    if 'model' not in cfg:
        raise UserError(f'config {config} has no model. Remedy: give another one')
    if 'pretrained' in cfg.model.backbone:
        cfg.model.backbone.pretrained = None
    torch.manual_seed(0)
    return MODELS.build(cfg.model).to(device)


def _models(
    baseline: str | os.PathLike, configs: Sequence[str | os.PathLike], device: str
) -> dict[str, nn.Module]:
    """The baseline and the models under test, by the name in the table."""
    models = {f'plain {Path(baseline).stem}': make_plain(build_model(baseline, device))}
    for config in configs:
        models[Path(config).stem] = build_model(config, device)
    return models


def _frames(
    model: nn.Module, clip_len: int, crop_size: int, batch_size: int, device: str
) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    shape = (batch_size, model_channels(model), clip_len, crop_size, crop_size)
    return (torch.rand(shape, generator=generator) * 2 - 1).to(device)


def model_channels(model: nn.Module) -> int:
    """Channels of the frames: 3 for RGB, 2 for optical flow."""
    return model.backbone.state_dict()['Conv3d_1a_7x7.conv3d.weight'].shape[1]


def inference_cases(
    device: str = 'cpu',
    amp: bool = False,
    baseline: str = AFSD_CONFIG,
    configs: Sequence[str] = (AFSD_CONFIG, TAL_MTS_CONFIG),
    clip_len: int = 256,
    crop_size: int = 96,
    batch_size: int = 1,
) -> list[Case]:
    """The alternatives; an item is one frame.

    Args:
        device: Where to run.
        amp: Run under autocast.
        baseline: Model config that is run without optimisation.
        configs: Model configs that are run as they are.
        clip_len: Frames of a clip.
        crop_size: Side of a frame in pixels.
        batch_size: Clips at once.

    Returns:
        The plain baseline and the models.
    """

    def forward(model: nn.Module) -> Callable[[], object]:
        model.eval()
        frames = _frames(model, clip_len, crop_size, batch_size, device)

        def run() -> object:
            with torch.inference_mode(), _autocast(device, amp):
                return model(frames)

        return run

    return [
        Case(name, forward(model), clip_len * batch_size)
        for name, model in _models(baseline, configs, device).items()
    ]


def train_cases(
    device: str = 'cpu',
    amp: bool = False,
    baseline: str = AFSD_CONFIG,
    configs: Sequence[str] = (AFSD_CONFIG, TAL_MTS_CONFIG),
    clip_len: int = 256,
    crop_size: int = 96,
    batch_size: int = 1,
) -> list[Case]:
    """The alternatives; an item is one step: forward, backward, Adam.

    AFSD's consistency loss, which needs a second pass, is off.

    Args:
        device: Where to run.
        amp: Run under autocast.
        baseline: Model config that is run without optimisation.
        configs: Model configs that are run as they are.
        clip_len: Frames of a clip.
        crop_size: Side of a frame in pixels.
        batch_size: Clips at once.

    Returns:
        The plain baseline and the models.
    """

    def step(model: nn.Module) -> Callable[[], object]:
        model.train()
        frames = _frames(model, clip_len, crop_size, batch_size, device)
        samples = [_sample(clip_len, device) for _ in range(batch_size)]
        parameters = [p for p in model.parameters() if p.requires_grad]
        optimizer = torch.optim.Adam(parameters, lr=1e-5, weight_decay=1e-3)

        def run() -> None:
            with _autocast(device, amp):
                losses = model(frames, samples, mode='loss')
            sum(losses.values()).backward()
            optimizer.step()
            # Not held while another model has its turn.
            optimizer.zero_grad(set_to_none=True)

        return run

    return [
        Case(name, step(model))
        for name, model in _models(baseline, configs, device).items()
    ]


def _sample(clip_len: int, device: str) -> ActionDataSample:
    """A clip with a short, a medium and a long action."""
    share = torch.tensor([[0.1, 0.15], [0.3, 0.5], [0.4, 0.95]], device=device)
    sample = ActionDataSample()
    sample.gt_instances = InstanceData(
        segments=share * clip_len, labels=torch.zeros(3, dtype=torch.long).to(device)
    )
    return sample


def _autocast(device: str, amp: bool) -> torch.autocast:
    return torch.autocast(torch.device(device).type, enabled=amp)
