"""Draw the losses of trainings over their epochs (Fig. 6 of the paper)."""

from __future__ import annotations

import argparse
import sys

from mmtal_mts.apis.loss_curves import plot_losses
from mmtal_mts.utils import run_tool


def parse_args() -> argparse.Namespace:
    """Arguments of the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('work_dirs', nargs='+', help='--work-dir of each training')
    parser.add_argument('--out', default='losses.png', help='PNG file to write')
    parser.add_argument(
        '--key', default='loss', help='loss to draw, as it is called in the log'
    )
    parser.add_argument('--title', default='', help='title of the picture')
    return parser.parse_args()


def main() -> None:
    """Draw what the command line asks for."""
    args = parse_args()
    plot_losses(args.work_dirs, args.out, args.key, args.title)
    print(f'wrote {args.out}')


if __name__ == '__main__':
    sys.exit(run_tool(main))
