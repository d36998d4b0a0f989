"""Finds actions in videos and shows them: subtitles, pictures, reports and data."""

from __future__ import annotations

import argparse
import os
import sys

try:
    from mmengine.dist import is_main_process

    from mmtal_mts import apis
    from mmtal_mts.apis.batch_inference import FORMATS, infer_videos, join_processes
    from mmtal_mts.apis.writers import Selection
    from mmtal_mts.datasets.flow import FLOW_METHODS
    from mmtal_mts.utils import run_tool
except ImportError as error:
    sys.exit(f'error: {error}')

DEMO_MODEL = 'tal-mts_i3d-tiny_1xb4-128x48x48_synthetic'


def parse_args() -> argparse.Namespace:
    """Parses the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    add = parser.add_argument
    add('inputs', nargs='+', help='video, folder, quoted pattern, or .txt list of them')
    add('--model', '--config', default=DEMO_MODEL, help='config file, or its name')
    add('--weights', help='checkpoint or its address (default: the released weights)')
    add('--out', required=True, metavar='DIR', help='folder of results')
    known = ','.join(FORMATS)
    add('--formats', type=names, default=('json', 'html'), help=f'some of {known}')
    add('--score-thr', type=float, default=0.2, help='lowest score (default: 0.2)')
    add('--top-k', type=int, default=100, help='most per video, 0 for all (100)')
    add('--classes', type=names, metavar='A,B', help='only these actions')
    add('--annotations', metavar='FILE', help='ground truth to show beside detections')
    add('--device', help='e.g. cpu or cuda:0 (default: a GPU if any)')
    add('--batch-size', type=int, default=1, help='windows at once')
    add('--amp', action='store_true', help='mixed precision')
    arrays = 'scale frames to this square first; for configs whose data are arrays'
    add('--frame-size', type=int, metavar='PIXELS', help=arrays)
    flow = 'for configs with optical flow; as in their training (default: tvl1)'
    add('--flow-method', choices=FLOW_METHODS, default='tvl1', help=flow)
    add('--overwrite', action='store_true', help='do finished videos again')
    options = 'KEY=VALUE to override settings of the config'
    add('--cfg-options', nargs='+', action=apis.CfgOptionsAction, help=options)
    launchers = ['none', 'pytorch', 'slurm', 'mpi']
    add('--launcher', choices=launchers, default='none', help='split the videos')
    add('--local_rank', '--local-rank', type=int, default=0, help=argparse.SUPPRESS)
    return parser.parse_args()


def names(text: str) -> tuple[str, ...]:
    """Splits a list of names."""
    return tuple(name.strip() for name in text.split(',') if name.strip())


def main() -> None:
    """Processes all videos."""
    args = parse_args()
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    own_device = join_processes(args.launcher)
    inferencer = apis.TALInferencer(
        apis.load_config(apis.find_config(args.model), args.cfg_options),
        args.weights,
        args.device or own_device,
        batch_size=args.batch_size,
        amp=args.amp,
        frame_size=args.frame_size,
        flow_method=args.flow_method,
    )
    selection = Selection(args.score_thr, args.top_k or None, args.classes)
    files = args.inputs, args.out, args.formats, selection, args.annotations
    report = infer_videos(inferencer, *files, args.overwrite)
    if is_main_process():
        print(f'{report.summary()}\nresults are in {args.out}')
    if report.failed:
        sys.exit(1)


if __name__ == '__main__':
    sys.exit(run_tool(main))
