"""Joins the checkpoints of an RGB and a flow network for a two-stream config."""

from __future__ import annotations

import argparse
import sys

try:
    from mmtal_mts.apis import load_config
    from mmtal_mts.apis.join_streams import join_streams
    from mmtal_mts.utils import run_tool
except ImportError as error:
    sys.exit(f'error: {error}')


def main() -> None:
    """Joins."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', help='config of a TwoStreamTALMTS model')
    parser.add_argument('rgb', help='checkpoint of the RGB network')
    parser.add_argument('flow', help='checkpoint of the flow network')
    parser.add_argument('out', help='checkpoint to write')
    args = parser.parse_args()
    join_streams(load_config(args.config), args.rgb, args.flow, args.out)
    print(f'Joined checkpoint: {args.out}')


if __name__ == '__main__':
    sys.exit(run_tool(main))
