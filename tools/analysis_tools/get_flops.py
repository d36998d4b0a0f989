"""Count parameters and floating point operations of a config's model."""

from __future__ import annotations

import argparse
import sys

import torch
from mmaction.registry import MODELS
from rich.console import Console
from rich.table import Table
from torch.utils.flop_counter import FlopCounterMode

from mmtal_mts.apis import load_config
from mmtal_mts.utils import UserError, run_tool


def parse_args() -> argparse.Namespace:
    """Arguments of the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
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
    if 'backbone' not in cfg.model:
        raise UserError(
            f'{args.config}: model {cfg.model.type} has no backbone of its own; count '
            'the configs of its streams'
        )
    if 'pretrained' in cfg.model.backbone:
        cfg.model.backbone.pretrained = None  # counts do not depend on the weights
    # Features are frames of one pixel.
    side = 1 if 'feature_channels' in cfg else cfg.crop_size
    frames, pixels = args.shape or (cfg.clip_len, side)
    model = MODELS.build(cfg.model).eval()
    channels = cfg.model.backbone.get('in_channels', 3)
    clip = torch.zeros(1, channels, frames, pixels, pixels)
    counter = FlopCounterMode(display=False)
    with counter, torch.no_grad():
        model(clip, mode='tensor')
    flops = counter.get_flop_counts()
    table = Table('module', 'parameters', 'GFLOPs', title=f'{frames}x{pixels}x{pixels}')
    for name, module in model.named_children():
        count = sum(p.numel() for p in module.parameters())
        key = f'{type(model).__name__}.{name}'
        if count:
            # A multiplication and an addition are two operations.
            share = sum(flops.get(key, {}).values())
            table.add_row(name, f'{count:,}', f'{share / 1e9:.2f}')
    total = sum(p.numel() for p in model.parameters())
    table.add_row(
        'all', f'{total:,}', f'{counter.get_total_flops() / 1e9:.2f}', style='bold'
    )
    Console().print(table)


if __name__ == '__main__':
    sys.exit(run_tool(main))
