"""Tests a checkpoint: detects in every test video and prints the metrics."""

from __future__ import annotations

import argparse
import sys

try:
    from mmtal_mts.apis import parse_runner_args, prepare_test_config, test
    from mmtal_mts.utils import run_tool
except ImportError as error:
    sys.exit(f'error: {error}')


def main() -> None:
    """Tests."""
    parser = argparse.ArgumentParser(description=__doc__)
    add = parser.add_argument
    add('config', help='config file')
    add('checkpoint', help='checkpoint file')
    text = 'pickle the raw predictions of all windows, before they are merged'
    add('--dump', metavar='FILE.pkl', help=text)
    text = (
        'save the raw outputs of the model in each window, before decoding, for '
        'tools/fuse_streams.py'
    )
    add('--dump-raw', metavar='FOLDER', help=text)
    example = 'test_evaluator.dump_path=detections.json'
    test(prepare_test_config(**parse_runner_args(parser, example)))


if __name__ == '__main__':
    sys.exit(run_tool(main))
