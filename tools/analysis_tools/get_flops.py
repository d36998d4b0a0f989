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
    cfg: Config, shape: tuple[int, int] | None = None
) -> tuple[list[PartSize], tuple[int, int]]:
    """Counts parameters and operations of one forward pass.

    Args:
        cfg: With ``clip_len`` and ``crop_size`` at its top.
        shape: Frames of the clip, and their height and width. None: as in the config.

    Returns:
        Parts with parameters, both networks of two streams one after the other, the
        last one being 'all'; and the shape.

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
        net.backbone.pop('pretrained', None)  # counts do not depend on the weights
        channels += net.backbone.get('in_channels', 3)
    # Shapes are enough. On a processor, attention at inference is one fused operation
    # whose size PyTorch's counter does not know.
    model = MODELS.build(model_cfg).eval().to('meta')
    # Features are frames of one pixel.
    side = 1 if 'feature_channels' in cfg else cfg.crop_size
    frames, pixels = shape or (cfg.clip_len, side)
    clip = torch.zeros(1, channels, frames, pixels, pixels, device='meta')
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(clip, mode='tensor')
    flops = counter.get_flop_counts()
    parts = []
    for stream in streams:
        prefix = '.'.join(filter(None, (type(model).__name__, stream)))
        for name, module in model.get_submodule(stream).named_children():
            done = sum(flops.get(f'{prefix}.{name}', {}).values())
            if count := _num_parameters(module):
                parts.append(PartSize(f'{stream} {name}'.strip(), count, done))
    total = _num_parameters(model), counter.get_total_flops()
    return [*parts, PartSize('all', *total)], (frames, pixels)


def _num_parameters(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('config', help='config file')
    text = "clip length and crop size (default: the config's)"
    names = ('FRAMES', 'PIXELS')
    parser.add_argument('--shape', type=int, nargs=2, metavar=names, help=text)
    args = parser.parse_args()
    parts, (frames, pixels) = measure_model(load_config(args.config), args.shape)
    table = Table('module', 'parameters', 'GFLOPs', title=f'{frames}x{pixels}x{pixels}')
    for name, num_parameters, num_flops in parts:
        style = 'bold' if name == 'all' else None
        numbers = f'{num_parameters:,}', f'{num_flops / 1e9:.2f}'
        table.add_row(name, *numbers, style=style)
    Console().print(table)


if __name__ == '__main__':
    sys.exit(run_tool(main))
