"""Extraction with a progress bar and a list of what failed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from time import monotonic

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from mmtal_mts.datasets.extraction import (
    ExtractionSettings,
    check_disk_space,
    extract_all,
    find_videos,
    plan_extraction,
)


def extract_clips(
    video_dir: str,
    out_dir: Path,
    settings: ExtractionSettings,
    *,
    ann_file: str | None = None,
    subsets: Sequence[str] | None = None,
    backend: str = 'auto',
    workers: int = 1,
    dry_run: bool = False,
) -> dict[str, str]:
    """Extracts the videos of a folder or of an annotation file, and tells how it goes.

    Args:
        video_dir: Folder of the video files.
        out_dir: Folder to write.
        settings: What to make.
        ann_file: Annotation file; None takes all videos of the folder.
        subsets: Subsets of the annotation; None takes all.
        backend: Decoding library, or 'auto'.
        workers: Videos at a time.
        dry_run: Only say what would be done.

    Returns:
        Why each failed or missing video failed, by id.

    Raises:
        UserError: If the input is unusable or the disk is too small.
    """
    console = Console(highlight=False, soft_wrap=True)
    videos, failed = find_videos(video_dir, ann_file, subsets)
    num_videos = len(videos) + len(failed)
    for modality in settings.modalities:
        settings.check_folder(out_dir, modality)
    plan = plan_extraction(videos, out_dir, settings)
    console.print(
        f'{num_videos} videos, of which {plan.num_kept} are there already; '
        f'to do: {len(plan.jobs)} videos, about {plan.num_frames} frames, '
        f'{_size(plan.num_bytes)}'
    )
    check_disk_space(plan, out_dir)
    if not dry_run and plan.jobs:
        display = _Display(console, len(plan.jobs), plan.num_frames)
        with display.progress:
            failed.update(
                extract_all(plan, out_dir, settings, workers, display, backend)
            )
    if failed:
        console.print(f'{len(failed)} of {num_videos} videos failed:')
        for video_id, reason in failed.items():
            console.print(f'  {video_id}: {reason}', markup=False)
    elif not dry_run:
        places = [str(settings.folder(out_dir, m)) for m in settings.modalities]
        console.print(f'All videos are in {", ".join(places)}', markup=False)
    return failed


def _size(num_bytes: int) -> str:
    if num_bytes >= 1e9:
        return f'{num_bytes / 1e9:.1f} GB'
    return f'{num_bytes / 1e6:.1f} MB'


class _Display:
    """A bar on a terminal, a line per video elsewhere."""

    def __init__(self, console: Console, num_videos: int, num_frames: int) -> None:
        self.console = console
        self.num_videos = num_videos
        self.num_ended = 0
        self.frames: dict[str, int] = {}
        # No thread that refreshes: it could hold a lock while a process is forked.
        self.progress = Progress(
            TextColumn('Extracting'),
            BarColumn(),
            TextColumn('{task.percentage:>3.0f} %  {task.fields[text]}'),
            TimeRemainingColumn(),
            console=console,
            auto_refresh=False,
            disable=not console.is_terminal,
        )
        self.task = self.progress.add_task('', total=max(num_frames, 1), text='')
        self.started = monotonic()

    def __call__(self, job, kind: str, value) -> None:
        video_id = job.video.video_id
        # What is left out, or more than was expected, is not waited for any longer.
        self.frames[video_id] = value if kind == 'progress' else job.num_frames
        if kind != 'progress':
            self.num_ended += 1
            if not self.console.is_terminal:
                outcome = f'{value} frames' if kind == 'done' else f'failed: {value}'
                self.console.print(
                    f'[{self.num_ended}/{self.num_videos}] {video_id}: {outcome}',
                    markup=False,
                )
        total = sum(self.frames.values())
        rate = total / max(monotonic() - self.started, 1e-3)
        self.progress.update(
            self.task,
            completed=total,
            text=f'{self.num_ended}/{self.num_videos} videos, {rate:.0f} frames/s',
        )
        self.progress.refresh()
