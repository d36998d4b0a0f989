"""Inference on many videos, with files as the result."""

from __future__ import annotations

import atexit
import hashlib
import json
import os
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from mmengine import Config, dist
from rich.console import Console
from rich.markup import escape
from rich.progress import Progress

from ..evaluation.functional.detections import dump_detections, load_detections
from ..structures import load_annotations
from ..utils import UserError
from ..utils.errors import error_message
from ..utils.io import atomic_write
from ..version import __version__
from .tal_inferencer import TALInferencer
from .train import prepare_cpu_processes
from .video_inputs import find_videos
from .video_result import Selection
from .writers import build_writers

ALL_DETECTIONS = 'detections'
"""Name of the file with the detections of all videos."""
_FINISHED = '.finished'
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

    def summary(self) -> str:
        """A line with the numbers, and one per video that failed with the reason."""
        counts = [f'{len(self.done)} done']
        for state in ('skipped', 'failed'):
            if getattr(self, state):
                counts.append(f'{len(getattr(self, state))} {state}')
        lines = [f'videos: {", ".join(counts)}']
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
        mine = list(videos.items())[rank::count]
        report = BatchReport()
        with VideoProgress(len(mine), f'[{rank}] ' if count > 1 else '') as progress:
            for name, path in mine:
                self._process(name, path, report, progress)
        reports = dist.all_gather_object(report)
        report = BatchReport(
            sorted(name for part in reports for name in part.done),
            sorted(name for part in reports for name in part.skipped),
            {path: why for part in reports for path, why in part.failed.items()},
        )
        if rank == 0 and len(videos) > 1 and 'json' in self.writers:
            self._join(videos)
        return report

    def files(self, name: str) -> dict[str, Path]:
        """The files of a video by format."""
        return {
            kind: self.out_dir / f'{name}{writer.suffix}'
            for kind, writer in self.writers.items()
        }

    def _check_not_overwriting(self, videos: dict[str, str]) -> None:
        sources = {os.path.realpath(path) for path in videos.values()}
        for path in (path for name in videos for path in self.files(name).values()):
            if os.path.realpath(path) in sources:
                raise UserError(
                    f'{path} would be overwritten, but is one of the videos. '
                    'Remedy: another --out'
                )

    def _process(
        self, name: str, path: str, report: BatchReport, progress: VideoProgress
    ) -> None:
        """One video, whatever happens."""
        if not self.overwrite and self._is_finished(name, path):
            report.skipped.append(name)
            progress.end(f'{name}: finished before, skipped', 'dim')
            return
        progress.begin(name)
        began = time.perf_counter()
        try:
            result = self.inferencer.detect(path, name, report=progress.windows)
            if self.annotations is not None:
                result = result.with_ground_truth(self.annotations)
            for kind, file in self.files(name).items():
                progress.begin(f'{kind} {name}')
                self.writers[kind].write(result, file)
            with atomic_write(self._finished_file(name)) as temporary:
                temporary.write_text(self._stamp(path), 'utf-8')
        # Whatever is wrong with this video, the next one may be fine.
        except Exception as error:
            if os.environ.get('MMTAL_DEBUG') == '1':
                raise
            reason = report.failed[path] = error_message(error)
            progress.end(f'{name}: FAILED, {reason}', 'red')
            return
        report.done.append(name)
        count, seconds = len(self.selection(result).detections), time.perf_counter()
        progress.end(
            f'{name}: {count} action{"s" * (count != 1)} in '
            f'{result.duration:.1f} s of video, took {seconds - began:.1f} s',
            warnings=[f'  {name}: {warning}' for warning in result.warnings],
        )

    def _is_finished(self, name: str, path: str) -> bool:
        """Whether all files are there, made from the same file by the same settings."""
        file = self._finished_file(name)
        if not file.is_file() or file.read_text('utf-8', 'replace') != self._stamp(
            path
        ):
            return False
        return all(file.is_file() for file in self.files(name).values())

    def _finished_file(self, name: str) -> Path:
        return self.out_dir / _FINISHED / f'{name}.json'

    def _stamp(self, path: str) -> str:
        """All that the results of a video depend on."""
        return json.dumps(dict(video=_file_stamp(path), settings=self._settings))

    def _join(self, names: Iterable[str]) -> None:
        """Writes the detections of all videos that have some into one file."""
        classes, found = self.inferencer.classes, {}
        for path in (self.files(name)['json'] for name in names):
            if path.is_file():
                found.update(load_detections(path, classes))
        dump_detections(self.out_dir / f'{ALL_DETECTIONS}.json', found, classes)


class VideoProgress(Progress):
    """Bars for all videos and for the windows of the one at hand, with the time left.

    Without a terminal only finished lines are written.

    Args:
        num_videos: Videos of this process.
        prefix: Put before each line, e.g. the number of the process.
    """

    def __init__(self, num_videos: int, prefix: str = '') -> None:
        console = Console(highlight=False, soft_wrap=True)
        super().__init__(
            console=console, transient=True, disable=not console.is_terminal
        )
        self._prefix = prefix
        self._videos = self.add_task('videos', total=num_videos)
        self._windows = self.add_task('', total=None, visible=False)

    def begin(self, name: str) -> None:
        """Starts the bar of a video, or of a file that is written for it, anew."""
        self.reset(self._windows, description=escape(name), visible=True)
        self.update(self._windows, total=None)

    def windows(self, done: int, total: int | None) -> None:
        """Shows how many windows of the video are done, of how many if known."""
        self.update(self._windows, completed=done, total=total)

    def end(self, line: str, style: str = '', warnings: Iterable[str] = ()) -> None:
        """Writes a line on a finished video, in a style of :mod:`rich`."""
        for text, color in ((line, style), *((text, 'yellow') for text in warnings)):
            self.console.print(self._prefix + text, style=color, markup=False)
        self.advance(self._videos)


def join_processes(launcher: str = 'none') -> str | None:
    """Joins the processes that share the videos of one inference.

    Args:
        launcher: 'none', 'pytorch', 'slurm' or 'mpi'.

    Returns:
        The GPU of this process; None if there is one process or no GPU.

    Raises:
        UserError: The launcher does not work here.
    """
    if launcher == 'none':
        return None
    # Only small reports are exchanged, for which gloo is always there.
    settings = dict(backend='gloo', timeout=_TIMEOUT_S)
    if not torch.cuda.is_available():
        env_cfg = dict(dist_cfg=settings)
        prepare_cpu_processes(Config(dict(launcher=launcher, env_cfg=env_cfg)))
        return None
    try:
        dist.init_dist(launcher, **settings)
    except (ValueError, KeyError) as error:
        raise UserError(
            f'--launcher {launcher}: {error} is missing. Remedy: start with '
            'torchrun, srun or mpirun, which set the environment'
        ) from error
    # Gloo's threads must end before the interpreter does, or it may abort.
    atexit.register(torch.distributed.destroy_process_group)
    return f'cuda:{torch.cuda.current_device()}'


def _file_stamp(path: str | os.PathLike | None) -> list | None:
    """What changes when a file is replaced: its path, size and time of writing."""
    if path is None or not os.path.isfile(path):
        return None
    status = os.stat(path)
    return [os.path.realpath(path), status.st_size, status.st_mtime_ns]
