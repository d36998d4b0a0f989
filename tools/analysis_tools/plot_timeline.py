"""Draws ground truth and detections of videos on a time axis, with frames."""

from __future__ import annotations

import argparse
import sys

from mmtal_mts.apis.timeline import plot_timelines
from mmtal_mts.utils import run_tool


def parse_args() -> argparse.Namespace:
    """Parses the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    add = parser.add_argument
    add('annotation', help='native annotation JSON file')
    add('detections', help='detection JSON file of the test metric')
    add('--out', default='timeline.png', help='PNG file to write')
    add('--videos', help='folder with the video files')
    add('--video-ids', nargs='+', help='videos to draw')
    add('--num', type=int, default=4, help='without --video-ids: how many to draw')
    add('--score-thr', type=float, default=0.3, help='lowest score that is drawn')
    choices = ('error', 'clamp', 'drop')
    text = 'what to do about invalid annotations'
    add('--on-invalid', choices=choices, default='error', help=text)
    add('--title', default='', help='title of the picture')
    return parser.parse_args()


def main() -> None:
    """Draws."""
    args = parse_args()
    plot_timelines(
        args.annotation,
        args.detections,
        args.out,
        video_dir=args.videos,
        video_ids=args.video_ids,
        num_videos=args.num,
        score_threshold=args.score_thr,
        on_invalid=args.on_invalid,
        title=args.title,
    )
    print(f'wrote {args.out}')


if __name__ == '__main__':
    sys.exit(run_tool(main))
