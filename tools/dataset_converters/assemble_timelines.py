"""Put untrimmed videos with annotations together from a folder of clips."""

from __future__ import annotations

import argparse
import json
import sys

from mmtal_mts.datasets.timelines import (
    Clip,
    TimelineSettings,
    assemble_dataset,
    place_background,
    read_clips,
)
from mmtal_mts.utils import run_tool


def parse_args() -> argparse.Namespace:
    """Arguments of the command line."""
    defaults = TimelineSettings()
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument('annotations', help='clips: native JSON, or CSV video,label')
    parser.add_argument('videos', help='folder of the clips')
    parser.add_argument('out', help='folder to write')
    parser.add_argument(
        '--group-by', default='group', help='field that says which clips join'
    )
    parser.add_argument('--size', type=int, default=defaults.size)
    parser.add_argument('--fps', type=int, default=defaults.fps)
    parser.add_argument(
        '--per-group', type=int, default=defaults.per_group, help='orders per group'
    )
    parser.add_argument(
        '--shared-order',
        action='store_true',
        help='the same order(s) of labels for all groups',
    )
    parser.add_argument(
        '--gap',
        type=float,
        nargs=2,
        default=defaults.gap,
        metavar=('MIN', 'MAX'),
        help='seconds of made background between clips',
    )
    parser.add_argument(
        '--no-made-background',
        action='store_true',
        help='join clips directly where there are none of background',
    )
    parser.add_argument(
        '--background-from',
        nargs='+',
        default=(),
        metavar='LABEL',
        help='make background of clips with these labels only, through which somebody '
        'moves; default: of any clip',
    )
    parser.add_argument(
        '--place-background',
        action='store_true',
        help='clips of background belong before the action of the same picture size',
    )
    parser.add_argument(
        '--clip-fps',
        type=float,
        help='frame rate of all clips; default: as in the file',
    )
    parser.add_argument('--folds', type=int, default=defaults.folds)
    parser.add_argument('--seed', type=int, default=defaults.seed)
    return parser.parse_args()


def tell_places(clips: list[Clip]) -> None:
    """Says how many clips of background have found their place."""
    background = [clip for clip in clips if not clip.actions]
    placed = sum(clip.source_start is not None for clip in background)
    print(
        f'{placed} of {len(background)} clips of background have a place in their '
        'recording; the others are dealt at random'
    )


def main() -> None:
    """Assemble what the command line asks for."""
    args = parse_args()
    settings = TimelineSettings(
        size=args.size,
        fps=args.fps,
        per_group=args.per_group,
        shared_order=args.shared_order,
        gap=tuple(args.gap),
        made_background=not args.no_made_background,
        background_labels=tuple(args.background_from),
        clip_fps=args.clip_fps,
        folds=args.folds,
        seed=args.seed,
    )
    clips = read_clips(args.annotations, args.videos, args.group_by)
    if args.place_background:
        clips = place_background(clips, args.clip_fps)
        tell_places(clips)
    for path in assemble_dataset(clips, args.out, settings):
        videos = json.loads(path.read_text(encoding='utf-8'))['database'].values()
        test = [video for video in videos if video['subset'] == 'test']
        print(
            f'{path}: {len(videos) - len(test)} videos to train on, {len(test)} to '
            f'test, {sum(len(video["annotations"]) for video in videos)} actions, '
            f'{sum(video["duration"] for video in videos) / 60:.1f} minutes'
        )


if __name__ == '__main__':
    sys.exit(run_tool(main))
