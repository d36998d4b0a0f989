"""Tests a checkpoint: detects in every test video and prints the metrics."""

from __future__ import annotations

import argparse
import os
import sys

try:
    from mmtal_mts.apis import load_config, prepare_test_config, test
    from mmtal_mts.utils import CfgOptionsAction, run_tool
except ImportError as error:
    sys.exit(f'error: {error}')


def parse_args() -> argparse.Namespace:
    """Parses the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', help='config file')
    parser.add_argument('checkpoint', help='checkpoint file')
    parser.add_argument('--work-dir', help='folder for logs')
    parser.add_argument(
        '--dump',
        metavar='FILE.pkl',
        help='pickle the raw predictions of all windows, before they are merged',
    )
    parser.add_argument(
        '--dump-raw',
        metavar='FOLDER',
        help='save the raw outputs of the model in each window, before decoding, for '
        'tools/fuse_streams.py',
    )
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=CfgOptionsAction,
        metavar='KEY=VALUE',
        help='override settings of the config, e.g. '
        'test_evaluator.dump_path=detections.json',
    )
    parser.add_argument(
        '--launcher', choices=['none', 'pytorch', 'slurm', 'mpi'], default='none'
    )
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0)
    return parser.parse_args()


def main() -> None:
    """Tests."""
    args = vars(parse_args())
    os.environ.setdefault('LOCAL_RANK', str(args.pop('local_rank')))
    cfg = load_config(args.pop('config'))
    test(prepare_test_config(cfg, **args))


if __name__ == '__main__':
    sys.exit(run_tool(main))
