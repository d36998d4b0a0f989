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
from dataclasses import fields
from functools import partial
from pathlib import Path

try:
    import cv2
    from rich.console import Console
    from rich.progress import track

    from mmtal_mts.datasets.extraction import (
        LAYOUTS,
        ExtractionSettings,
        Job,
        extract_video,
        plan_extraction,
        remove_leftovers,
    )
    from mmtal_mts.datasets.flow import FLOW_METHODS, build_flow
    from mmtal_mts.datasets.sources import claim_folder, find_videos
    from mmtal_mts.utils import UserError, run_tool
    from mmtal_mts.utils.errors import error_message, is_input_error
    from mmtal_mts.utils.processes import run_jobs
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
    Every video has a process of its own.

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
    console = Console(highlight=False, soft_wrap=True, markup=False)
    videos, failed = find_videos(video_dir, ann_file, subsets)
    num_videos = len(videos) + len(failed)
    folders = {m: settings.folder(out_dir, m) for m in settings.modalities}
    for modality, folder in folders.items():
        claim_folder(folder, settings.record(modality), dry_run=True)
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
            extract = partial(extract_video, out_dir=out_dir, settings=settings)
            failed.update(_run(extract, jobs, workers, console))
        finally:  # of processes that crashed or were interrupted
            for folder in folders.values():
                remove_leftovers(folder)
    if failed:
        console.print(f'{len(failed)} of {num_videos} videos failed:')
        for video_id, reason in failed.items():
            console.print(f'  {video_id}: {reason}')
    elif not dry_run:
        console.print(f'All videos are in {", ".join(map(str, folders.values()))}')
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
    extract: partial[int], jobs: Sequence[Job], workers: int, console: Console
) -> dict[str, str]:
    """Extracts with a bar on a terminal, a line per video elsewhere."""
    failed: dict[str, str] = {}
    # No thread that refreshes: it could hold a lock while a process is forked. For the
    # same reason OpenCV must not have threads.
    num_threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    quiet = not console.is_terminal
    shown = dict(auto_refresh=False, console=console, disable=quiet)
    try:
        with closing(run_jobs(extract, jobs, workers)) as results:
            done = track(results, 'Extracting', len(jobs), **shown)
            for number, (job, result) in enumerate(done, 1):
                name, outcome = job.video.video_id, f'{result} frames'
                if isinstance(result, BaseException):
                    reason = error_message(result)
                    if not is_input_error(result):
                        reason = f'{type(result).__name__}: {reason}'
                    failed[name], outcome = reason, f'failed: {reason}'
                if quiet:
                    console.print(f'[{number}/{len(jobs)}] {name}: {outcome}')
    finally:
        cv2.setNumThreads(num_threads)
    return failed


def parse_args() -> argparse.Namespace:
    """Parses the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add('videos', help='folder of the video files')
    add('out', type=Path, help='folder to write')
    add('--ann', metavar='FILE.json', help='only the videos of this annotation file')
    add('--subsets', nargs='+', help='only these subsets of it')
    add('--modalities', nargs='+', choices=['RGB', 'Flow'], default=['RGB'])
    add('--layout', choices=LAYOUTS, default='npy')
    add('--fps', type=float, help='sampled frames per second (default: 10)')
    add('--num-frames', type=int, help='instead: per video, e.g. 768 for ActivityNet')
    add('--side', type=int, default=112, help='height and width (default: 112)')
    add('--flow-method', choices=FLOW_METHODS, default='tvl1', help='default: tvl1')
    add('--flow-bound', type=float, default=20, help='pixels that become 0 and 255')
    add('--workers', type=int, default=os.cpu_count() or 1, help='videos at a time')
    add('--dry-run', action='store_true', help='only say what there is to do')
    args = parser.parse_args()
    if args.fps is None and args.num_frames is None:
        args.fps = 10.0
    args.modalities = tuple(dict.fromkeys(args.modalities))
    return args


def main() -> None:
    """Extracts."""
    args = parse_args()
    names = [field.name for field in fields(ExtractionSettings)]
    failed = extract_clips(
        args.videos,
        args.out,
        ExtractionSettings(**{name: getattr(args, name) for name in names}),
        ann_file=args.ann,
        subsets=args.subsets,
        workers=args.workers,
        dry_run=args.dry_run,
    )
    if failed:
        sys.exit(1)


if __name__ == '__main__':
    sys.exit(run_tool(main))
