"""Count parameters and floating point operations of a config's model."""

from __future__ import annotations

import argparse
import sys

from rich.console import Console
from rich.table import Table

from mmtal_mts.apis import load_config
from mmtal_mts.apis.model_size import measure_model
from mmtal_mts.utils import run_tool


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
    frames, pixels = args.shape or (cfg.clip_len, cfg.crop_size)
    table = Table('module', 'parameters', 'GFLOPs', title=f'{frames}x{pixels}x{pixels}')
    for part in measure_model(cfg, frames, pixels):
        # A multiplication and an addition are two operations.
        table.add_row(
            part.name,
            f'{part.num_parameters:,}',
            f'{part.num_flops / 1e9:.2f}',
            style='bold' if part.name == 'all' else None,
        )
    Console().print(table)


if __name__ == '__main__':
    sys.exit(run_tool(main))
