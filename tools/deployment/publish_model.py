"""Write the weights of a training's checkpoint to a file to give away."""

from __future__ import annotations

import argparse
import os
import sys

from mmtal_mts.apis import publish_checkpoint
from mmtal_mts.utils import run_tool


def parse_args() -> argparse.Namespace:
    """Arguments of the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('checkpoint', help='checkpoint that a training wrote')
    parser.add_argument('out', help='folder of the new file')
    parser.add_argument('--name', help='name of the model (default: its config)')
    return parser.parse_args()


def main() -> None:
    """Publish what the command line asks for."""
    args = parse_args()
    path = publish_checkpoint(args.checkpoint, args.out, args.name)
    print(f'wrote {path} ({os.path.getsize(path) / 1e6:.1f} MB)')


if __name__ == '__main__':
    sys.exit(run_tool(main))
