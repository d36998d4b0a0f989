"""Generate the synthetic data set: mp4 videos and native annotations."""

from __future__ import annotations

import argparse

from mmtal_mts.datasets.synthetic import SyntheticSettings, generate_dataset


def parse_args() -> argparse.Namespace:
    """Parses the command line."""
    defaults = SyntheticSettings()
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument('out', help='folder to write: annotations.json, videos/')
    parser.add_argument(
        '--num-train', type=int, default=defaults.num_train, help='training videos'
    )
    parser.add_argument(
        '--num-test', type=int, default=defaults.num_test, help='test videos'
    )
    parser.add_argument('--seed', type=int, default=defaults.seed)
    parser.add_argument(
        '--duration',
        type=float,
        nargs=2,
        default=defaults.duration,
        metavar=('MIN', 'MAX'),
        help='shortest and longest video in seconds',
    )
    parser.add_argument(
        '--size', type=int, default=defaults.size, help='side of the frames, pixels'
    )
    parser.add_argument(
        '--fps',
        type=int,
        nargs='+',
        default=defaults.fps,
        help='frame rates; most videos have the first one',
    )
    parser.add_argument('--workers', type=int, default=2, help='processes')
    parser.add_argument(
        '--overwrite',
        action='store_true',
        help='replace a data set that was made with other settings',
    )
    return parser.parse_args()


def main() -> None:
    """Generates the data set, or says in one line why not."""
    args = parse_args()
    try:
        settings = SyntheticSettings(
            num_train=args.num_train,
            num_test=args.num_test,
            seed=args.seed,
            duration=tuple(args.duration),
            size=args.size,
            fps=tuple(args.fps),
        )
        path = generate_dataset(
            args.out, settings, workers=args.workers, overwrite=args.overwrite
        )
    except (ValueError, OSError) as error:
        raise SystemExit(f'error: {error}') from None
    print(f'Synthetic data set: {path}')


if __name__ == '__main__':
    main()
