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
    streams = [name for name in ('rgb', 'flow') if name in model_cfg]
    channels = 0
    for net in [model_cfg[name] for name in streams] or [model_cfg]:
        if 'backbone' not in net:
            raise UserError(
                f'config {cfg.filename}: model {net.get("type")} has no backbone, '
                'so its operations cannot be counted'
            )
        net.backbone.pop('pretrained', None)  # counts do not depend on the weights
        channels += net.backbone.get('in_channels', 3)
    # Shapes are enough. On a processor, attention at inference is one fused operation
    # that PyTorch's counter does not know.
    model = MODELS.build(model_cfg).eval().to('meta')
    # Features are frames of one pixel.
    side = 1 if 'feature_channels' in cfg else cfg.crop_size
    frames, pixels = shape or (cfg.clip_len, side)
    clip = torch.zeros(1, channels, frames, pixels, pixels, device='meta')
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(clip, mode='tensor')
    flops, parts = counter.get_flop_counts(), []
    for name, module in model.named_modules():
        # The parts of the model, or of each stream.
        if name.count('.') == bool(streams) and name:
            # FSA is a part of its head, but runs ahead of it.
            keys = (f'{type(model).__name__}.{name}{end}' for end in ('', '.fsa'))
            done = sum(sum(flops.get(key, {}).values()) for key in keys)
            if count := sum(p.numel() for p in module.parameters()):
                parts.append(PartSize(name.replace('.', ' '), count, done))
    total = sum(p.numel() for p in model.parameters())
    parts.append(PartSize('all', total, counter.get_total_flops()))
    return parts, (frames, pixels)


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
