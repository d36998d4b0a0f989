"""Extracts features from videos with the backbone of a config.

OUT gets one (T, C) array per video, VIDEO_ID.npy, for TALFeatureDataset. Run the same
command again to go on after an interruption. The exit status is 1 if a video failed.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

try:
    from mmtal_mts.apis import load_config, merge_options
    from mmtal_mts.apis.feature_extraction import FeatureExtractor, extract_features
    from mmtal_mts.apis.model_zoo import find_config
    from mmtal_mts.datasets.extraction import FLOW_METHODS
    from mmtal_mts.utils import CfgOptionsAction, run_tool
except ImportError as error:
    sys.exit(f'error: {error}')


def parse_args() -> argparse.Namespace:
    """Parses the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('config', help='config file, or its name')
    parser.add_argument('videos', help='folder of the video files')
    parser.add_argument('out', type=Path, help='folder to write')
    parser.add_argument(
        '--weights',
        help="checkpoint of a training of the config (default: the backbone's "
        'pretrained weights)',
    )
    parser.add_argument(
        '--ann', metavar='FILE.json', help='only the videos of this annotation file'
    )
    parser.add_argument('--subsets', nargs='+', help='only these subsets of it')
    parser.add_argument(
        '--window',
        type=int,
        default=16,
        help='frames per snippet, or per clip with --dense (default: 16)',
    )
    parser.add_argument(
        '--stride',
        type=int,
        default=4,
        help='frames from one snippet to the next (default: 4)',
    )
    parser.add_argument(
        '--dense',
        action='store_true',
        help='cut videos into clips of --window frames, of which every position in '
        'time of the first map is a row; instead of snippets',
    )
    parser.add_argument(
        '--fps',
        type=float,
        help="sampled frames per second (default: the config's sample_fps)",
    )
    parser.add_argument(
        '--maps',
        type=int,
        nargs='+',
        help='maps of the backbone whose means are joined (default: the last)',
    )
    parser.add_argument('--batch-size', type=int, default=16, help='snippets at once')
    parser.add_argument('--device', help='e.g. cpu or cuda:0 (default: a GPU if any)')
    parser.add_argument(
        '--frame-size',
        type=int,
        metavar='PIXELS',
        help='scale frames to this square first; for configs whose data are arrays',
    )
    parser.add_argument(
        '--flow-method',
        choices=FLOW_METHODS,
        default='tvl1',
        help='for configs with optical flow (default: tvl1)',
    )
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=CfgOptionsAction,
        metavar='KEY=VALUE',
        help='override settings of the config',
    )
    return parser.parse_args()


def main() -> None:
    """Extracts."""
    args = parse_args()
    cfg = merge_options(load_config(find_config(args.config)), args.cfg_options)
    extractor = FeatureExtractor(
        cfg,
        args.weights,
        window=args.window,
        stride=args.stride,
        dense=args.dense,
        fps=args.fps,
        maps=args.maps,
        batch_size=args.batch_size,
        device=args.device,
        frame_size=args.frame_size,
        flow_method=args.flow_method,
    )
    report = extract_features(extractor, args.videos, args.out, args.ann, args.subsets)
    print(
        f'{report.summary()}\nfeatures of {extractor.channels} channels, one row per '
        f'{extractor.row_stride} frames at {extractor.fps:g} fps, are in {args.out}'
    )
    if report.failed:
        sys.exit(1)


if __name__ == '__main__':
    sys.exit(run_tool(main))
