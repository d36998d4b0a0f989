"""Trains the model of a config."""

from __future__ import annotations

import argparse
import sys

try:
    from mmtal_mts.apis import load_config, prepare_train_config, train
    from mmtal_mts.utils import parse_runner_args, run_tool
except ImportError as error:
    sys.exit(f'error: {error}')


def main() -> None:
    """Trains."""
    parser = argparse.ArgumentParser(description=__doc__)
    add = parser.add_argument
    add('config', help='config file')
    add(
        '--resume',
        nargs='?',
        const='auto',
        metavar='CHECKPOINT',
        help='go on from this checkpoint; without a path from the last one of the '
        'work dir, or from the start if there is none',
    )
    add('--amp', action='store_true', help='train in mixed precision')
    add('--no-validate', action='store_true', help='do not validate while training')
    add(
        '--auto-scale-lr',
        action='store_true',
        help='scale the learning rate with the total batch size',
    )
    add('--seed', type=int, help='random seed')
    add('--diff-rank-seed', action='store_true', help='give each process another seed')
    add(
        '--deterministic',
        action='store_true',
        help='use deterministic algorithms where there are some',
    )
    args = parse_runner_args(
        parser, 'train_cfg.max_epochs=5 or "model.neck.levels=[1,2]"'
    )
    cfg = load_config(args.pop('config'))
    train(prepare_train_config(cfg, **args))


if __name__ == '__main__':
    sys.exit(run_tool(main))
