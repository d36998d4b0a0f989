"""Draws ground truth and detections of videos on a time axis, with frames."""

from __future__ import annotations

import argparse
import sys

from mmtal_mts.apis.writers import plot_timelines
from mmtal_mts.utils import run_tool


def main() -> None:
    """Draws what the command line names."""
    parser = argparse.ArgumentParser(description=__doc__)
    add = parser.add_argument
    add('ann_file', metavar='annotation', help='native annotation JSON file')
    found = 'detection JSON file of the test metric'
    add('detection_file', metavar='detections', help=found)
    out = dict(dest='out_path', default='timeline.png')
    add('--out', help='PNG file to write', **out)
    add('--videos', dest='video_dir', help='folder with the video files')
    add('--video-ids', nargs='+', help='videos to draw')
    count = dict(dest='num_videos', type=int, default=4)
    add('--num', help='without --video-ids: how many to draw', **count)
    add('--score-thr', type=float, default=0.3, help='lowest score that is drawn')
    choices = ('error', 'clamp', 'drop')
    text = 'what to do about invalid annotations'
    add('--on-invalid', choices=choices, default='error', help=text)
    add('--title', default='', help='title of the picture')
    args = parser.parse_args()
    plot_timelines(**vars(args))
    print(f'wrote {args.out_path}')


if __name__ == '__main__':
    sys.exit(run_tool(main))
