"""Trains a detector on your own videos: checks, splits, trains, tests and draws."""

from __future__ import annotations

import argparse
import sys

try:
    from mmtal_mts.apis.custom_training import (
        TINY_MODEL,
        prepare_custom_training,
        train_custom,
    )
    from mmtal_mts.utils import run_tool
except ImportError as error:
    sys.exit(f'error: {error}')

ANNOTATIONS = (
    'CSV with the head line "video,start,end,label" (seconds), native JSON, or any '
    'format of tools/dataset_converters/convert_annotations.py'
)


def main() -> None:
    """Trains."""
    parser = argparse.ArgumentParser(description=__doc__)
    add = parser.add_argument
    add('--videos', required=True, metavar='DIR')
    add('--annotations', required=True, metavar='FILE', help=ANNOTATIONS)
    add('--out', required=True, metavar='DIR', help='for all results')
    add('--init', metavar='WEIGHTS', help='checkpoint to start from')
    text = 'config of the model; default: the tiny one, which needs no GPU'
    add('--base', default=TINY_MODEL, metavar='CONFIG', help=text)
    add('--val-fraction', type=float, default=0.2, help='share of videos to hold out')
    add('--epochs', type=int, help='default: by the amount of data')
    add('--seed', type=int, default=0, help='of split and training')
    add('--num-workers', type=int, default=2, help='load the data')
    add('--prepare-only', action='store_true', help='write the config, do not train')
    args = vars(parser.parse_args())
    prepare_only = args.pop('prepare_only')
    config = prepare_custom_training(**args)
    if prepare_only:
        print(f'train with: python tools/train.py {config}')
        return
    summary = train_custom(config, args['seed'])
    print('\nheld-out videos')
    for name, value in summary.pop('mAP').items():
        print(f'{name:<10} {100 * value:5.1f} %')
    for name, path in summary.items():
        print(f'{name:<10} {path}')


if __name__ == '__main__':
    sys.exit(run_tool(main))
