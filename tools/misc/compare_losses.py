"""Compares the losses that two trainings logged, iteration by iteration."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from mmtal_mts.utils import UserError, run_tool


def read_losses(path: Path) -> list[dict[str, float]]:
    """The losses of each logged iteration of a scalars.json."""
    try:
        lines = path.read_text(encoding='utf-8').splitlines()
        logged = [json.loads(line) for line in lines]
    except (OSError, json.JSONDecodeError) as error:
        raise UserError(
            f'{path} cannot be read ({error}). Remedy: give a '
            'work_dirs/NAME/TIMESTAMP/vis_data/scalars.json'
        ) from error
    return [
        {key: value for key, value in entry.items() if 'loss' in key}
        for entry in logged
        if 'loss' in entry
    ]


def largest_difference(
    first: list[dict[str, float]], second: list[dict[str, float]]
) -> float:
    """The largest relative difference of any loss in any iteration."""
    if [set(entry) for entry in first] != [set(entry) for entry in second]:
        raise UserError(
            f'{len(first)} and {len(second)} iterations were logged, or other losses. '
            'Remedy: train with the same config, seed and total batch'
        )
    return max(
        abs(entry[key] - other[key]) / max(abs(entry[key]), 1e-3)
        for entry, other in zip(first, second)
        for key in entry
    )


def main() -> None:
    """Prints the difference; fails if it is too large."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('first', type=Path, help='scalars.json of one training')
    parser.add_argument('second', type=Path, help='that of the other one')
    parser.add_argument(
        '--tolerance', type=float, default=1e-3, help='relative (default: 0.001)'
    )
    args = parser.parse_args()
    losses = read_losses(args.first)
    if not losses:
        raise UserError(f'{args.first} has no losses. Remedy: train with LoggerHook')
    difference = largest_difference(losses, read_losses(args.second))
    print(f'{len(losses)} iterations, losses differ by at most {difference:.1e}')
    if difference > args.tolerance:
        sys.exit(1)


if __name__ == '__main__':
    sys.exit(run_tool(main))
