"""Fuses networks (RGB and flow): averages their raw outputs, decodes and evaluates.

The folders come from ``tools/test.py CONFIG CHECKPOINT --dump-raw FOLDER``. A single
folder is decoded and evaluated again, for instance with other settings of soft-NMS.
"""

from __future__ import annotations

import argparse
import sys

try:
    from mmtal_mts.apis import fuse_streams, load_config, merge_options
    from mmtal_mts.utils import CfgOptionsAction, run_tool
except ImportError as error:
    sys.exit(f'error: {error}')


def parse_args() -> argparse.Namespace:
    """Parses the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('raw', nargs='+', help='folders of raw outputs')
    parser.add_argument(
        '--config',
        required=True,
        help='config whose decoder and test_evaluator are used, e.g. that of a stream',
    )
    parser.add_argument(
        '--weights',
        type=float,
        nargs='+',
        help='weight of each folder in the average; equal by default',
    )
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=CfgOptionsAction,
        metavar='KEY=VALUE',
        help='override settings of the config, e.g. '
        'test_evaluator.dump_path=detections.json test_evaluator.nms.sigma=0.3',
    )
    return parser.parse_args()


def main() -> None:
    """Fuses."""
    args = parse_args()
    cfg = merge_options(load_config(args.config), args.cfg_options)
    metrics = fuse_streams(cfg, args.raw, args.weights)
    print('  '.join(f'{name}: {value:.4f}' for name, value in metrics.items()))


if __name__ == '__main__':
    sys.exit(run_tool(main))
