"""Export a trained network to ONNX or torch.export, and check it against torch."""

from __future__ import annotations

import argparse
import os
import sys

try:
    from mmtal_mts.apis import load_config, merge_options
    from mmtal_mts.apis.export import export_model
    from mmtal_mts.apis.export_model import OUTPUTS
    from mmtal_mts.apis.model_zoo import find_config, find_weights
    from mmtal_mts.utils import CfgOptionsAction, run_tool
except ImportError as error:
    sys.exit(f'error: {error}')


def parse_args() -> argparse.Namespace:
    """Arguments of the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('model', help='config file, or its name')
    parser.add_argument('out', help='file to write: FILE.onnx, or FILE.pt2')
    parser.add_argument(
        '--weights', help='checkpoint file (default: that of the model in zoo/)'
    )
    parser.add_argument(
        '--ends-with',
        choices=sorted(OUTPUTS),
        default='raw',
        help='raw: what both heads say (default); decoded: segments and scores of all '
        'locations, before threshold and NMS',
    )
    parser.add_argument(
        '--batch-size',
        type=int,
        default=1,
        help='clips per batch of an .onnx file, where it is fixed (default: 1)',
    )
    parser.add_argument(
        '--checks', type=int, default=3, help='batches to compare (default: 3)'
    )
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=CfgOptionsAction,
        metavar='KEY=VALUE',
        help='override settings of the config',
    )
    return parser.parse_args()


def main() -> None:
    """Export what the command line asks for."""
    args = parse_args()
    cfg = merge_options(load_config(find_config(args.model)), args.cfg_options)
    weights = str(args.weights or find_weights(cfg.filename))
    found = export_model(
        cfg, weights, args.out, args.ends_with, args.batch_size, args.checks
    )
    print(f'same as torch: {found}')
    print(f'wrote {args.out} ({os.path.getsize(args.out) / 1e6:.1f} MB)')


if __name__ == '__main__':
    sys.exit(run_tool(main))
