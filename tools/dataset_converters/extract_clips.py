"""Extracts frames and optical flow from videos, once, for fast training.

OUT gets a folder for each modality and layout (rgb_npy, flow_npy, rgb_frames,
flow_frames). Run the same command again to go on after an interruption. The exit
status is 1 if a video failed.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from collections.abc import Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from time import monotonic

import cv2
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

try:
    from mmtal_mts.datasets.extraction import (
        LAYOUTS,
        ExtractionSettings,
        Job,
        extract_video,
        plan_extraction,
        remove_leftovers,
    )
    from mmtal_mts.datasets.flow import FLOW_METHODS, build_flow
    from mmtal_mts.datasets.sources import check_folder, claim_folder, find_videos
    from mmtal_mts.structures.timebase import mean_rate
    from mmtal_mts.utils import UserError, run_tool
    from mmtal_mts.utils.processes import describe_failure, run_jobs
except ImportError as error:
    sys.exit(f'error: {error}')


def extract_clips(
    video_dir: str,
    out_dir: Path,
    settings: ExtractionSettings,
    *,
    ann_file: str | None = None,
    subsets: Sequence[str] | None = None,
    workers: int = 1,
    dry_run: bool = False,
) -> dict[str, str]:
    """Extracts the videos of a folder or of an annotation file, and reports progress.

    What is there already is kept, so that the same call goes on after an interruption.

    Args:
        video_dir: Folder of the video files.
        out_dir: Folder to write.
        settings: What to make.
        ann_file: Annotation file; None takes all videos of the folder.
        subsets: Subsets of the annotation; None takes all.
        workers: Videos at a time, each in a process of its own.
        dry_run: Only say what would be done.

    Returns:
        Why each failed or missing video failed, by id.

    Raises:
        ImportError: If OpenCV lacks the flow method.
        UserError: If the input is unusable, the disk is too small, or the folder holds
            what other settings made.
        ValueError: If ``workers`` is not positive.
    """
    if workers < 1:
        raise ValueError(f'workers must be at least 1, got {workers}')
    console = Console(highlight=False, soft_wrap=True)
    videos, failed = find_videos(video_dir, ann_file, subsets)
    num_videos = len(videos) + len(failed)
    folders = {m: settings.folder(out_dir, m) for m in settings.modalities}
    for modality, folder in folders.items():
        check_folder(folder, settings.record(modality))
    jobs = plan_extraction(videos, out_dir, settings)
    num_bytes = sum(job.num_bytes for job in jobs)
    unit, size = ('GB', 1e9) if num_bytes >= 1e9 else ('MB', 1e6)
    console.print(
        f'{num_videos} videos, of which {len(videos) - len(jobs)} are there already; '
        f'to do: {len(jobs)} videos, about {sum(job.num_frames for job in jobs)} '
        f'frames, {num_bytes / size:.1f} {unit}'
    )
    check_disk_space(num_bytes, out_dir)
    if not dry_run and jobs:
        if 'Flow' in settings.modalities:
            build_flow(settings.flow_method)
        for modality, folder in folders.items():
            claim_folder(folder, settings.record(modality))
            remove_leftovers(folder)
        try:
            failed.update(_run(jobs, out_dir, settings, workers, console))
        finally:  # of processes that crashed or were interrupted
            for folder in folders.values():
                remove_leftovers(folder)
    if failed:
        console.print(f'{len(failed)} of {num_videos} videos failed:')
        for video_id, reason in failed.items():
            console.print(f'  {video_id}: {reason}', markup=False)
    elif not dry_run:
        places = ', '.join(map(str, folders.values()))
        console.print(f'All videos are in {places}', markup=False)
    return failed


def check_disk_space(num_bytes: int, out_dir: Path) -> None:
    """Raises a UserError if so much does not fit on the disk."""
    existing = next(p for p in (out_dir, *out_dir.absolute().parents) if p.exists())
    free = shutil.disk_usage(existing).free
    if num_bytes > free:
        raise UserError(
            f'{out_dir}: {num_bytes / 1e9:.1f} GB are needed, {free / 1e9:.1f} GB '
            'are free. Remedy: another disk, a smaller side, or fewer videos (--ann)'
        )


def _run(
    jobs: Sequence[Job],
    out_dir: Path,
    settings: ExtractionSettings,
    workers: int,
    console: Console,
) -> dict[str, str]:
    """Extracts with a bar on a terminal, a line per video elsewhere."""
    failed: dict[str, str] = {}
    columns = (
        TextColumn('Extracting'),
        BarColumn(),
        TextColumn('{task.percentage:>3.0f} %  {task.fields[text]}'),
        TimeRemainingColumn(),
    )
    # No thread that refreshes: it could hold a lock while a process is forked. For the
    # same reason OpenCV must not have threads.
    num_threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    quiet = not console.is_terminal
    extract = partial(extract_video, out_dir=out_dir, settings=settings)
    started, done = monotonic(), 0
    try:
        with (
            Progress(
                *columns, console=console, auto_refresh=False, disable=quiet
            ) as progress,
            closing(run_jobs(extract, jobs, workers)) as results,
        ):
            total = max(sum(job.num_frames for job in jobs), 1)
            task = progress.add_task('', total=total, text='')
            for number, (job, result) in enumerate(results, 1):
                outcome = f'{result} frames'
                if isinstance(result, BaseException):
                    failed[job.video.video_id] = describe_failure(result)
                    outcome = f'failed: {failed[job.video.video_id]}'
                if quiet:
                    line = f'[{number}/{len(jobs)}] {job.video.video_id}: {outcome}'
                    console.print(line, markup=False)
                done += job.num_frames
                rate = mean_rate(done, max(monotonic() - started, 1e-3))
                text = f'{number}/{len(jobs)} videos, {rate:.0f} frames/s'
                progress.update(task, completed=done, text=text, refresh=True)
    finally:
        cv2.setNumThreads(num_threads)
    return failed


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
        fps=fps,
        num_frames=args.num_frames,
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
        workers=args.workers,
        dry_run=args.dry_run,
    )
    if failed:
        sys.exit(1)


if __name__ == '__main__':
    sys.exit(run_tool(main))
