"""Inference on many videos, with files as the result."""

from __future__ import annotations

import datetime
import hashlib
import json
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import torch.distributed as torch_dist
from mmengine import dist
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from ..evaluation.functional.detections import dump_detections, load_detections
from ..structures import load_annotations
from ..utils import UserError, write_json
from ..utils.errors import error_message
from ..version import __version__
from .tal_inferencer import TALInferencer
from .video_inputs import VideoInput, find_videos
from .video_result import Selection
from .writers import build_writers

ALL_DETECTIONS = 'detections'
"""Name of the file with the detections of all videos."""
_FINISHED = '.finished'
_NAME_WIDTH = 28
# Processes meet only at the end, and some may have the longer videos.
_TIMEOUT_S = 7 * 24 * 3600


@dataclass
class BatchReport:
    """Which videos were processed.

    Attributes:
        done: Names of those that were processed now.
        skipped: Names of those that were finished before.
        failed: Reasons by video file.
    """

    done: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)

    @classmethod
    def merge(cls, reports: Sequence[BatchReport]) -> BatchReport:
        """Joins the reports of all processes; names are sorted."""
        return cls(
            sorted(name for report in reports for name in report.done),
            sorted(name for report in reports for name in report.skipped),
            {path: why for report in reports for path, why in report.failed.items()},
        )

    def summary(self) -> str:
        """A line with the numbers, and one per video that failed with the reason."""
        parts = [f'{len(self.done)} done']
        if self.skipped:
            parts.append(f'{len(self.skipped)} skipped')
        if self.failed:
            parts.append(f'{len(self.failed)} failed')
        lines = [f'videos: {", ".join(parts)}']
        for path, why in self.failed.items():
            lines.append(f'  {why}' if path in why else f'  {path}: {why}')
        return '\n'.join(lines)


class BatchInference:
    """Runs an inferencer over many videos and writes their results.

    A broken video does not stop the others. A video whose files are there, made with
    the same settings from the same file, is skipped. The processes of a launcher, see
    :func:`join_processes`, share the videos.

    Args:
        inferencer: With the model.
        out_dir: Folder of the results.
        formats: Some of :data:`mmtal_mts.apis.writers.FORMATS`.
        selection: Which detections are written.
        ann_file: Native annotation with ground truth to be shown. Segments that reach
            out of their video are cut.
        overwrite: Do finished videos again.

    Raises:
        UserError: A setting is unusable.
    """

    def __init__(
        self,
        inferencer: TALInferencer,
        out_dir: str | os.PathLike,
        formats: Sequence[str] = ('json', 'html'),
        selection: Selection = Selection(),  # noqa: B008 (immutable)
        ann_file: str | os.PathLike | None = None,
        overwrite: bool = False,
    ) -> None:
        selection.check(inferencer.classes)
        self.inferencer = inferencer
        self.out_dir = Path(out_dir)
        self.selection = selection
        self.writers = build_writers(formats, selection)
        self.annotations = None
        if ann_file is not None:
            self.annotations = load_annotations(os.fspath(ann_file), on_invalid='clamp')
        self.overwrite = overwrite
        config = inferencer.cfg.pretty_text.encode('utf-8')
        self._settings = dict(
            version=__version__,
            formats=sorted(self.writers),
            selection=[selection.score_thr, selection.top_k, selection.classes],
            annotations=_file_stamp(ann_file),
            config=hashlib.sha256(config).hexdigest(),
            weights=_file_stamp(inferencer.weights),
            amp=inferencer.amp,
            frame_size=inferencer.frame_size,
            flow_method=inferencer.flow_method,
        )

    def __call__(self, inputs: Sequence[str | os.PathLike]) -> BatchReport:
        """Processes all videos.

        Args:
            inputs: See :func:`.find_videos`.

        Returns:
            The report on the videos of all processes.

        Raises:
            UserError: An input stands for nothing, or the results would overwrite a
                video.
        """
        videos = find_videos(inputs, reserved=[ALL_DETECTIONS])
        self._check_not_overwriting(videos)
        rank, count = dist.get_dist_info()
        mine = videos[rank::count]
        report = BatchReport()
        with VideoProgress(len(mine), f'[{rank}] ' if count > 1 else '') as progress:
            for video in mine:
                self._process(video, report, progress)
        report = BatchReport.merge(dist.all_gather_object(report))
        if rank == 0 and len(videos) > 1 and 'json' in self.writers:
            self._join(videos)
        return report

    def files(self, video: VideoInput) -> dict[str, Path]:
        """The files of a video by format."""
        return {
            name: self.out_dir / f'{video.name}{writer.suffix}'
            for name, writer in self.writers.items()
        }

    def _check_not_overwriting(self, videos: Sequence[VideoInput]) -> None:
        sources = {os.path.realpath(video.path) for video in videos}
        for path in (path for video in videos for path in self.files(video).values()):
            if os.path.realpath(path) in sources:
                raise UserError(
                    f'{path} would be overwritten, but is one of the videos. '
                    'Remedy: another --out'
                )

    def _process(
        self, video: VideoInput, report: BatchReport, progress: VideoProgress
    ) -> None:
        """One video, whatever happens."""
        if not self.overwrite and self._is_finished(video):
            report.skipped.append(video.name)
            progress.end(f'{video.name}: finished before, skipped', 'dim')
            return
        progress.begin(video.name)
        began = time.perf_counter()
        try:
            result = self.inferencer.detect(
                video.path, video_id=video.name, report=progress.windows
            )
            if self.annotations is not None:
                result = result.with_ground_truth(self.annotations)
            for name, path in self.files(video).items():
                progress.begin(f'{name} {video.name}')
                self.writers[name].write(result, path)
            write_json(self._finished_file(video), self._stamp(video))
        # Whatever is wrong with this video, the next one may be fine.
        except Exception as error:
            if os.environ.get('MMTAL_DEBUG') == '1':
                raise
            report.failed[video.path] = error_message(error)
            progress.end(f'{video.name}: FAILED, {report.failed[video.path]}', 'red')
            return
        report.done.append(video.name)
        count, seconds = len(self.selection(result).detections), time.perf_counter()
        progress.end(
            f'{video.name}: {count} action{"s" * (count != 1)} in '
            f'{result.duration:.1f} s of video, took {seconds - began:.1f} s'
        )
        for warning in result.warnings:
            progress.note(f'  {video.name}: {warning}')

    def _is_finished(self, video: VideoInput) -> bool:
        """Whether all files are there, made from the same file by the same settings."""
        try:
            known = json.loads(self._finished_file(video).read_text(encoding='utf-8'))
        except (OSError, ValueError):
            return False
        # Through JSON, so that tuples equal the lists that are read.
        wanted = json.loads(json.dumps(self._stamp(video)))
        return known == wanted and all(f.is_file() for f in self.files(video).values())

    def _finished_file(self, video: VideoInput) -> Path:
        return self.out_dir / _FINISHED / f'{video.name}.json'

    def _stamp(self, video: VideoInput) -> dict[str, Any]:
        """All that the results of a video depend on."""
        return dict(video=_file_stamp(video.path), settings=self._settings)

    def _join(self, videos: Sequence[VideoInput]) -> None:
        """Writes the detections of all videos that have some into one file."""
        classes, found = self.inferencer.classes, {}
        for path in (self.files(video)['json'] for video in videos):
            if path.is_file():
                found.update(load_detections(path, classes))
        dump_detections(self.out_dir / f'{ALL_DETECTIONS}.json', found, classes)


class VideoProgress:
    """Bars for all videos and for the windows of the one at hand, with the time left.

    Without a terminal only finished lines are written.

    Args:
        num_videos: Videos of this process.
        prefix: Put before each line, e.g. the number of the process.
    """

    def __init__(self, num_videos: int, prefix: str = '') -> None:
        self._prefix = prefix
        self._console = Console(highlight=False, soft_wrap=True)
        self._bars = Progress(
            TextColumn('{task.description}', markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn('eta', style='dim'),
            TimeRemainingColumn(),
            console=self._console,
            transient=True,
            disable=not self._console.is_terminal,
        )
        self._videos = self._bars.add_task(_fit('videos'), total=num_videos)
        self._windows = self._bars.add_task('', total=None, visible=False)

    def __enter__(self) -> VideoProgress:
        self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bars.stop()

    def begin(self, name: str) -> None:
        """Starts the bar of a video, or of a file that is written for it, anew."""
        self._bars.reset(self._windows, description=_fit(name), visible=True)
        self._bars.update(self._windows, total=None)

    def windows(self, done: int, total: int | None) -> None:
        """Shows how many windows of the video are done, of how many if known."""
        self._bars.update(self._windows, completed=done, total=total)

    def note(self, line: str) -> None:
        """Writes a line that a person should see."""
        self._console.print(self._prefix + line, style='yellow', markup=False)

    def end(self, line: str, style: str = '') -> None:
        """Writes the line of a finished video, in a style of :mod:`rich`."""
        self._console.print(self._prefix + line, style=style, markup=False)
        self._bars.advance(self._videos)


@contextmanager
def join_processes(launcher: str = 'none') -> Iterator[tuple[int, str | None]]:
    """Joins the processes that share the videos of one inference.

    Args:
        launcher: 'none', 'pytorch', 'slurm' or 'mpi'.

    Yields:
        Number of this process, and its GPU; None if there is one process or no GPU.

    Raises:
        UserError: The launcher does not work here.
    """
    if launcher == 'none':
        yield 0, None
        return
    has_gpu = torch.cuda.is_available()
    if not has_gpu and launcher != 'pytorch':
        raise UserError(
            f'--launcher {launcher} needs CUDA GPUs, and torch sees none. '
            'Remedy: torchrun with --launcher pytorch works on CPUs as well'
        )
    try:
        # Only small reports are exchanged, for which gloo is always there.
        if has_gpu:
            dist.init_dist(launcher, backend='gloo', timeout=_TIMEOUT_S)
        else:  # MMEngine wants a GPU for each process
            timeout = datetime.timedelta(seconds=_TIMEOUT_S)
            torch_dist.init_process_group('gloo', timeout=timeout)
    except (ValueError, KeyError) as error:
        raise UserError(
            f'--launcher {launcher}: {error} is missing. Remedy: start with '
            'torchrun, srun or mpirun, which set the environment'
        ) from error
    try:
        device = f'cuda:{torch.cuda.current_device()}' if has_gpu else None
        yield dist.get_rank(), device
    finally:
        torch_dist.destroy_process_group()


def _file_stamp(path: str | os.PathLike | None) -> list | None:
    """What changes when a file is replaced: its path, size and time of writing."""
    if path is None or not os.path.isfile(path):
        return None
    status = os.stat(path)
    return [os.path.realpath(path), status.st_size, status.st_mtime_ns]


def _fit(text: str) -> str:
    """Text of a width that does not let the bars jump."""
    text = ' '.join(text.split())
    if len(text) > _NAME_WIDTH:
        text = text[: _NAME_WIDTH - 1] + '…'
    return text.ljust(_NAME_WIDTH)
