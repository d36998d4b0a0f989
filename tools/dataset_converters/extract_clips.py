"""Extracts frames and optical flow from videos, once, for fast training.

OUT gets a folder for each modality and layout (rgb_npy, flow_npy, rgb_frames,
flow_frames). Run the same command again to go on after an interruption. The exit
status is 1 if a video failed.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

try:
    from mmtal_mts.apis.extraction import extract_clips
    from mmtal_mts.datasets.extraction import (
        FLOW_METHODS,
        LAYOUTS,
        ExtractionSettings,
        SamplingGrid,
    )
    from mmtal_mts.datasets.transforms.video_readers import BACKENDS
    from mmtal_mts.utils import run_tool
except ImportError as error:
    sys.exit(f'error: {error}')


def parse_args() -> argparse.Namespace:
    """Parses the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('videos', help='folder of the video files')
    parser.add_argument('out', type=Path, help='folder to write')
    parser.add_argument(
        '--ann', metavar='FILE.json', help='only the videos of this annotation file'
    )
    parser.add_argument('--subsets', nargs='+', help='only these subsets of it')
    parser.add_argument(
        '--modalities', nargs='+', choices=['RGB', 'Flow'], default=['RGB']
    )
    parser.add_argument('--layout', choices=LAYOUTS, default='npy')
    sampling = parser.add_mutually_exclusive_group()
    sampling.add_argument(
        '--fps', type=float, help='sampled frames per second (default: 10)'
    )
    sampling.add_argument(
        '--num-frames',
        type=int,
        help='sampled frames per video, whatever its length (ActivityNet: 768)',
    )
    parser.add_argument(
        '--side', type=int, default=112, help='height and width (default: 112)'
    )
    parser.add_argument(
        '--flow-method',
        choices=FLOW_METHODS,
        default='tvl1',
        help='tvl1 (default), or the faster dis and farneback',
    )
    parser.add_argument(
        '--flow-bound',
        type=float,
        default=20,
        help='pixels that become 0 and 255 (default: 20)',
    )
    parser.add_argument('--backend', choices=['auto', *BACKENDS], default='auto')
    parser.add_argument(
        '--workers',
        type=int,
        default=os.cpu_count() or 1,
        help='videos at a time (default: one per processor)',
    )
    parser.add_argument(
        '--dry-run',
        action='store_true',
        help='only say what would be done and how much space it takes',
    )
    return parser.parse_args()


def main() -> None:
    """Extracts."""
    args = parse_args()
    fps = args.fps if args.fps is not None or args.num_frames is not None else 10.0
    settings = ExtractionSettings(
        modalities=tuple(dict.fromkeys(args.modalities)),
        layout=args.layout,
        grid=SamplingGrid(fps, args.num_frames),
        side=args.side,
        flow_method=args.flow_method,
        flow_bound=args.flow_bound,
    )
    failed = extract_clips(
        args.videos,
        args.out,
        settings,
        ann_file=args.ann,
        subsets=args.subsets,
        backend=args.backend,
        workers=args.workers,
        dry_run=args.dry_run,
    )
    if failed:
        sys.exit(1)


if __name__ == '__main__':
    sys.exit(run_tool(main))
