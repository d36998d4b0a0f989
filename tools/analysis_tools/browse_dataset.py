"""Draws windows of a data set with their labels, after augmentation."""

from __future__ import annotations

import argparse
import sys

try:
    from mmtal_mts.apis import load_config
    from mmtal_mts.apis.dataset_browser import browse
    from mmtal_mts.utils import CfgOptionsAction, UserError, run_tool
except ImportError as error:
    sys.exit(f'error: {error}')


def parse_args() -> argparse.Namespace:
    """Parses the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', help='config file')
    parser.add_argument('--out', required=True, metavar='DIR', help='for the pictures')
    parser.add_argument('--split', choices=('train', 'val', 'test'), default='train')
    parser.add_argument('--num', type=int, default=8, help='how many, evenly spread')
    parser.add_argument(
        '--indices', nargs='+', type=int, help='which windows, instead of --num'
    )
    parser.add_argument('--seed', type=int, default=0, help='of the augmentations')
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=CfgOptionsAction,
        default={},
        metavar='KEY=VALUE',
        help='override settings of the config',
    )
    return parser.parse_args()


def main() -> None:
    """Draws."""
    args = parse_args()
    if args.num < 1:
        raise UserError(f'--num {args.num}: must be at least 1')
    cfg = load_config(args.config)
    cfg.merge_from_dict(args.cfg_options)
    for path in browse(cfg, args.out, args.split, args.indices, args.num, args.seed):
        print(f'wrote {path}', flush=True)


if __name__ == '__main__':
    sys.exit(run_tool(main))
