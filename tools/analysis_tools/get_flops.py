"""Count parameters and floating point operations of a config's model.

MMEngine's get_model_complexity_info leaves out attention, which PyTorch fuses at
inference, and the layers that are called by their functions; PyTorch's own counter sees
both.
"""

from __future__ import annotations

import argparse
import sys
from typing import NamedTuple

import torch
from mmaction.registry import MODELS
from mmengine.config import Config
from mmengine.registry import init_default_scope
from rich.console import Console
from rich.table import Table
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from mmtal_mts.apis import load_config
from mmtal_mts.utils import UserError, run_tool


class PartSize(NamedTuple):
    """Size of a part of a model: its name, learned numbers, operations for one clip.

    A multiplication and an addition are two operations.
    """

    name: str
    num_parameters: int
    num_flops: int


def measure_model(
    cfg: Config, frames: int | None = None, pixels: int | None = None
) -> list[PartSize]:
    """Counts parameters and operations of one forward pass.

    Args:
        cfg: With ``clip_len`` and ``crop_size`` at its top.
        frames: Length of the clip. None: that of the config.
        pixels: Height and width. None: those of the config.

    Returns:
        Parts with parameters, both networks of two streams one after the other; the
        last one is 'all'.

    Raises:
        UserError: The model is not one of ours.
    """
    init_default_scope(cfg.get('default_scope', 'mmaction'))
    model_cfg = cfg.model.copy()
    streams = [name for name in ('rgb', 'flow') if name in model_cfg] or ['']
    channels = 0
    for net in (model_cfg[name] if name else model_cfg for name in streams):
        if 'backbone' not in net:
            raise UserError(
                f'config {cfg.filename}: model {net.get("type")} has no backbone whose '
                'operations could be counted'
            )
        if 'pretrained' in net.backbone:
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
        prefix = '.'.join(filter(None, (type(model).__name__, stream)))
        for name, module in model.get_submodule(stream).named_children():
            done = sum(flops.get(f'{prefix}.{name}', {}).values())
            parts.append(PartSize(f'{stream} {name}'.strip(), _count(module), done))
    total = PartSize('all', _count(model), counter.get_total_flops())
    return [*(part for part in parts if part.num_parameters), total]


def _count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def parse_args() -> argparse.Namespace:
    """Arguments of the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('config', help='config file')
    parser.add_argument(
        '--shape',
        type=int,
        nargs=2,
        metavar=('FRAMES', 'PIXELS'),
        help="clip length and crop size (default: the config's)",
    )
    return parser.parse_args()


def main() -> None:
    """Print the table."""
    args = parse_args()
    cfg = load_config(args.config)
    # Features are frames of one pixel.
    side = 1 if 'feature_channels' in cfg else cfg.crop_size
    frames, pixels = args.shape or (cfg.clip_len, side)
    table = Table('module', 'parameters', 'GFLOPs', title=f'{frames}x{pixels}x{pixels}')
    for part in measure_model(cfg, frames, pixels):
        table.add_row(
            part.name,
            f'{part.num_parameters:,}',
            f'{part.num_flops / 1e9:.2f}',
            style='bold' if part.name == 'all' else None,
        )
    Console().print(table)


if __name__ == '__main__':
    sys.exit(run_tool(main))
