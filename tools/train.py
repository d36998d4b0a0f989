"""Trains the model of a config."""

from __future__ import annotations

import argparse
import sys

try:
    from mmtal_mts.apis import parse_runner_args, prepare_train_config, train
    from mmtal_mts.utils import run_tool
except ImportError as error:
    sys.exit(f'error: {error}')

RESUME = (
    'go on from this checkpoint; without a path from the last one of the work dir, or '
    'from the start if there is none'
)


def main() -> None:
    """Trains."""
    parser = argparse.ArgumentParser(description=__doc__)
    add = parser.add_argument
    add('config', help='config file')
    add('--resume', nargs='?', const='auto', metavar='CHECKPOINT', help=RESUME)
    add('--seed', type=int, help='random seed')
    for option, text in {
        '--amp': 'train in mixed precision',
        '--no-validate': 'do not validate while training',
        '--auto-scale-lr': 'scale the learning rate with the total batch size',
        '--diff-rank-seed': 'give each process another seed',
        '--deterministic': 'use deterministic algorithms where there are some',
    }.items():
        add(option, action='store_true', help=text)
    example = 'train_cfg.max_epochs=5 or "model.neck.levels=[1,2]"'
    train(prepare_train_config(**parse_runner_args(parser, example)))


if __name__ == '__main__':
    sys.exit(run_tool(main))
