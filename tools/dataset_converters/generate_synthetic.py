"""Generate the synthetic data set: mp4 videos and native annotations."""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict

from mmtal_mts.datasets.synthetic import SyntheticSettings, generate_dataset
from mmtal_mts.utils import run_tool


def parse_args() -> argparse.Namespace:
    """Parses the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    add = parser.add_argument
    add('out', help='folder to write: annotations.json, videos/')
    add('--num-train', type=int, help='training videos')
    add('--num-test', type=int, help='test videos')
    add('--seed', type=int, help='of all videos')
    add('--duration', type=float, nargs=2, metavar=('MIN', 'MAX'), help='in seconds')
    add('--size', type=int, help='side of the frames, pixels')
    add('--fps', type=int, nargs='+', help='rates; most videos have the first one')
    add('--context', action='store_true', help='add actions that only context tells')
    add('--workers', type=int, default=2, help='processes')
    add('--overwrite', action='store_true', help='replace a data set of other settings')
    parser.set_defaults(**asdict(SyntheticSettings()))
    return parser.parse_args()


def main() -> None:
    """Generates the data set."""
    args = vars(parse_args())
    out, workers, overwrite = map(args.pop, ('out', 'workers', 'overwrite'))
    args.update(duration=tuple(args['duration']), fps=tuple(args['fps']))
    path = generate_dataset(out, SyntheticSettings(**args), workers, overwrite)
    print(f'Synthetic data set: {path}')


if __name__ == '__main__':
    sys.exit(run_tool(main))
