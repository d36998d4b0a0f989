"""Trains a detector on your own videos: checks, splits, trains, tests and draws."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

try:
    from mmtal_mts.apis.custom_training import prepare_custom_training, train_custom
    from mmtal_mts.utils import run_tool
except ImportError as error:
    sys.exit(f'error: {error}')

BASE = (
    Path(__file__).resolve().parent.parent
    / 'configs/tal_mts/tal-mts_i3d-tiny_1xb4-128x48x48_synthetic.py'
)


def parse_args() -> argparse.Namespace:
    """Parses the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--videos', required=True, metavar='DIR')
    parser.add_argument(
        '--annotations',
        required=True,
        metavar='FILE',
        help='CSV with the head line "video,start,end,label" (seconds), native JSON, '
        'or any format of tools/dataset_converters/convert_annotations.py',
    )
    parser.add_argument('--out', required=True, metavar='DIR', help='for all results')
    parser.add_argument('--init', metavar='WEIGHTS', help='checkpoint to start from')
    parser.add_argument(
        '--base',
        default=str(BASE),
        metavar='CONFIG',
        help='config of the model; default: the tiny one, which needs no GPU',
    )
    parser.add_argument(
        '--val-fraction', type=float, default=0.2, help='share of videos to hold out'
    )
    parser.add_argument('--epochs', type=int, help='default: by the amount of data')
    parser.add_argument('--seed', type=int, default=0, help='of split and training')
    parser.add_argument('--num-workers', type=int, default=2, help='load the data')
    parser.add_argument(
        '--prepare-only', action='store_true', help='write the config, do not train'
    )
    return parser.parse_args()


def main() -> None:
    """Trains."""
    args = vars(parse_args())
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
