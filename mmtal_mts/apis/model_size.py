"""Parameters and floating point operations of the model of a config."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from mmaction.registry import MODELS
from mmengine.config import Config
from mmengine.registry import init_default_scope
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from mmtal_mts.utils import UserError

_STREAMS = ('rgb', 'flow')


@dataclass(frozen=True)
class PartSize:
    """Size of a part of a model.

    Attributes:
        name (str): Of the module, 'all' for the whole model.
        num_parameters (int): Numbers that are learned.
        num_flops (int): Operations for one clip; a multiplication and an addition are
            two.
    """

    name: str
    num_parameters: int
    num_flops: int


def measure_model(
    cfg: Config, frames: int | None = None, pixels: int | None = None
) -> list[PartSize]:
    """Counts parameters and operations of one forward pass.

    Args:
        cfg (Config): With ``clip_len`` and ``crop_size`` at its top.
        frames (int, optional): Length of the clip, by default the config's.
        pixels (int, optional): Height and width, by default the config's.

    Returns:
        list[PartSize]: Parts with parameters, both networks of two streams one after
        the other; the last one is 'all'.

    Raises:
        UserError: If the model is not one of ours.
    """
    init_default_scope(cfg.get('default_scope', 'mmaction'))
    model_cfg = cfg.model.copy()
    streams = [name for name in _STREAMS if name in model_cfg] or ['']
    nets = [model_cfg[name] if name else model_cfg for name in streams]
    channels = 0
    for net in nets:
        if 'backbone' not in net:
            raise UserError(
                f'config {cfg.filename}: model {net.get("type")} has no backbone whose '
                'operations could be counted'
            )
        net.backbone.pretrained = None  # counts do not depend on the weights
        channels += net.backbone.get('in_channels', 3)
    # Shapes are enough. On a processor, attention at inference is one fused operation
    # whose size PyTorch's counter does not know.
    model = MODELS.build(model_cfg).eval().to('meta')
    frames, pixels = frames or cfg.clip_len, pixels or cfg.crop_size
    clip = torch.zeros(1, channels, frames, pixels, pixels, device='meta')
    counter = FlopCounterMode(display=False)
    with counter, torch.no_grad():
        model(clip, mode='tensor')
    flops = counter.get_flop_counts()
    parts = []
    for stream in streams:
        net = model.get_submodule(stream)
        prefix = '.'.join(filter(None, (type(model).__name__, stream)))
        for name, module in net.named_children():
            count = _num_parameters(module)
            if count:
                done = sum(flops.get(f'{prefix}.{name}', {}).values())
                parts.append(PartSize(f'{stream} {name}'.strip(), count, done))
    total = PartSize('all', _num_parameters(model), counter.get_total_flops())
    return [*parts, total]


def _num_parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())
