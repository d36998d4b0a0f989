"""Tests a checkpoint: detects in every test video and prints the metrics."""

from __future__ import annotations

import argparse
import sys

try:
    from mmtal_mts.apis import load_config, prepare_test_config, test
    from mmtal_mts.utils import parse_runner_args, run_tool
except ImportError as error:
    sys.exit(f'error: {error}')


def main() -> None:
    """Tests."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', help='config file')
    parser.add_argument('checkpoint', help='checkpoint file')
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
    args = parse_runner_args(parser, 'test_evaluator.dump_path=detections.json')
    cfg = load_config(args.pop('config'))
    test(prepare_test_config(cfg, **args))


if __name__ == '__main__':
    sys.exit(run_tool(main))
