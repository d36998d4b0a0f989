"""Inference on many videos, with files as the result."""

from __future__ import annotations

import atexit
import glob
import hashlib
import itertools
import json
import os
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from mmengine import Config, dist
from rich.console import Console
from rich.markup import escape
from rich.progress import Progress

from ..datasets.sources import VIDEO_EXTENSIONS
from ..evaluation.functional.detections import dump_detections, load_detections
from ..structures import load_annotations
from ..utils import UserError
from ..utils.errors import error_message
from ..utils.io import atomic_write
from ..version import __version__
from .annotated_video import PREVIEW_SUFFIX, AnnotatedVideoWriter
from .report import HtmlReportWriter
from .runner import prepare_cpu_processes
from .tal_inferencer import TALInferencer
from .writers import (
    ActivityNetWriter,
    CsvWriter,
    ResultWriter,
    Selection,
    SrtWriter,
    TimelineWriter,
    VttWriter,
)

FORMATS: dict[str, type[ResultWriter]] = {
    'json': ActivityNetWriter,
    'csv': CsvWriter,
    'srt': SrtWriter,
    'vtt': VttWriter,
    'png': TimelineWriter,
    'html': HtmlReportWriter,
    'mp4': AnnotatedVideoWriter,
}
"""Writers by the name of their format, the quickest first."""
# Name of the file with the detections of all videos.
_ALL = 'detections'
_LIST_SUFFIXES = ('.txt', '.lst')
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
        line = f'videos: {len(self.done)} done'
        line += f', {len(self.skipped)} skipped' if self.skipped else ''
        line += f', {len(self.failed)} failed' if self.failed else ''
        reasons = [w if p in w else f'{p}: {w}' for p, w in self.failed.items()]
        return '\n  '.join([line, *reasons])


class BatchInference:
    """Runs an inferencer over many videos and writes their results.

    A broken video does not stop the others. A video whose files are there, made with
    the same settings from the same file, is skipped. The processes of a launcher, see
    :func:`join_processes`, share the videos.

    Args:
        inferencer: With the model.
        out_dir: Folder of the results.
        formats: Some of :data:`FORMATS`.
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
        unknown = [name for name in formats if name not in FORMATS]
        if unknown or not formats:
            raise UserError(
                f'unknown format {", ".join(map(repr, unknown)) or "(none)"}; choose '
                f'from {", ".join(FORMATS)}'
            )
        self.inferencer = inferencer
        self.out_dir = Path(out_dir)
        self.selection = selection
        self.writers = {k: w(selection) for k, w in FORMATS.items() if k in formats}
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
            inputs: See :func:`find_videos`.

        Raises:
            UserError: An input stands for nothing, or results would overwrite a video.
        """
        videos = find_videos(inputs, reserved=[_ALL])
        results = {os.path.realpath(f) for v in videos for f in self.files(v).values()}
        for path in videos.values():
            if os.path.realpath(path) in results:
                raise UserError(f'{path} would be overwritten. Remedy: another --out')
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
            classes, found = self.inferencer.classes, {}
            for path in (self.files(name)['json'] for name in videos):
                if path.is_file():
                    found.update(load_detections(path, classes))
            dump_detections(self.out_dir / f'{_ALL}.json', found, classes)
        return report

    def files(self, name: str) -> dict[str, Path]:
        """The files of a video by format."""
        kinds = self.writers.items()
        return {k: self.out_dir / f'{name}{w.suffix}' for k, w in kinds}

    def _process(
        self, name: str, path: str, report: BatchReport, progress: VideoProgress
    ) -> None:
        """One video, whatever happens."""
        # What its results depend on, and files that say so if all were written.
        stamp = json.dumps(dict(video=_file_stamp(path), settings=self._settings))
        finished = self.out_dir / '.finished' / f'{name}.json'
        files = self.files(name)
        if (
            not self.overwrite
            and all(file.is_file() for file in (finished, *files.values()))
            and finished.read_text('utf-8', 'replace') == stamp
        ):
            report.skipped.append(name)
            return progress.end(f'{name}: finished before, skipped', 'dim')
        progress.begin(name)
        began = time.perf_counter()
        try:
            result = self.inferencer.detect(path, name, report=progress.windows)
            if self.annotations is not None:
                result = result.with_ground_truth(self.annotations)
            for kind, file in files.items():
                progress.begin(f'{kind} {name}')
                self.writers[kind].write(result, file)
            with atomic_write(finished) as temporary:
                temporary.write_text(stamp, 'utf-8')
        # Whatever is wrong with this video, the next one may be fine.
        except Exception as error:
            if os.environ.get('MMTAL_DEBUG') == '1':
                raise
            report.failed[path] = error_message(error)
            return progress.end(f'{name}: FAILED, {report.failed[path]}', 'red')
        report.done.append(name)
        number, seconds = len(self.selection(result).detections), time.perf_counter()
        progress.end(
            f'{name}: {number} action{"s" * (number != 1)} in '
            f'{result.duration:.1f} s of video, took {seconds - began:.1f} s'
        )
        for warning in result.warnings:
            progress.line(f'  {name}: {warning}', 'yellow')


class VideoProgress(Progress):
    """Bars of the videos and of the windows of one, if there is a terminal; and lines.

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

    def end(self, text: str, style: str = '') -> None:
        """Writes a line on a finished video."""
        self.line(text, style)
        self.advance(self._videos)

    def line(self, text: str, style: str = '') -> None:
        """Writes a line in a style of :mod:`rich`."""
        self.console.print(self._prefix + text, style=style, markup=False)


def join_processes(launcher: str = 'none') -> str | None:
    """Joins the processes of a launcher ('pytorch', 'slurm', 'mpi') to share videos.

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
        cfg = dict(launcher=launcher, env_cfg=dict(dist_cfg=settings))
        prepare_cpu_processes(Config(cfg))
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


def find_videos(
    inputs: Sequence[str | os.PathLike], reserved: Iterable[str] = ()
) -> dict[str, str]:
    """Lists the videos that inputs stand for.

    Args:
        inputs: Each a video file, a folder (searched with its subfolders for known
            extensions), a glob pattern, or a list file (``.txt``: one of these per
            line, relative to the file's folder; lines that begin with # are skipped).
            Videos that are results of an earlier run are left out of folders and
            patterns.
        reserved: Names that no video may get.

    Returns:
        Files in order, each once, by the unique names that their results get: the name
        of the file without its extension if that is enough.

    Raises:
        UserError: An input stands for nothing.
    """
    unique: dict[str, str] = {}
    for item in inputs:
        for path in _expand(os.fspath(item)):
            unique.setdefault(os.path.realpath(path), path)
    names: dict[Path, str] = {}
    paths = [Path(path) for path in unique.values()]
    # More and more of the path, until nothing else has the name.
    for level in range(3):
        proposed = {
            path: names.get(path)
            or (path.stem, path.name, '_'.join(path.resolve().parts[-2:]))[level]
            for path in paths
        }
        used = Counter(name.casefold() for name in (*proposed.values(), *reserved))
        names |= {p: n for p, n in proposed.items() if used[n.casefold()] == 1}
    taken = {name.casefold() for name in (*names.values(), *reserved)}
    for path in paths:
        if path not in names:
            numbered = (f'{path.name}-{number}' for number in itertools.count(2))
            names[path] = next(n for n in numbered if n.casefold() not in taken)
            taken.add(names[path].casefold())
    return {names[path]: str(path) for path in paths}


def _expand(item: str) -> list[str]:
    """The video files that one input stands for."""
    path = Path(item)
    if path.is_file():
        return _read_list(path) if path.suffix in _LIST_SUFFIXES else [item]
    if path.is_dir():
        problem = 'holds no video'
        files = [
            str(file)
            for file in path.rglob('*')
            if file.suffix.lower() in VIDEO_EXTENSIONS and not file.name.startswith('.')
        ]
    else:
        problem = 'matches no file' if glob.has_magic(item) else 'does not exist'
        files = glob.glob(item, recursive=True)
    results = (AnnotatedVideoWriter.suffix, PREVIEW_SUFFIX)
    found = [f for f in files if os.path.isfile(f) and not f.endswith(results)]
    if not found:
        raise UserError(
            f'input {item} {problem}. Remedy: give video files, folders with '
            f'{" ".join(VIDEO_EXTENSIONS)} files, quoted patterns like "videos/*.mp4", '
            'or a .txt file with one of these per line'
        )
    return sorted(found)


def _read_list(path: Path) -> list[str]:
    try:
        lines = path.read_text(encoding='utf-8-sig').splitlines()
    except UnicodeDecodeError as error:
        raise UserError(f'list file {path} is not UTF-8 text: {error}') from error
    entries = [line.strip() for line in lines if line.strip()]
    found = []
    for entry in (entry for entry in entries if not entry.startswith('#')):
        target = path.parent / entry
        if target.suffix in _LIST_SUFFIXES:
            raise UserError(f'list file {path} names another list, {entry}')
        # A missing file is a broken video: the others are not held up by it.
        is_pattern = glob.has_magic(entry) and not target.exists()
        several = target.is_dir() or is_pattern
        found += _expand(str(target)) if several else [str(target)]
    if not found:
        raise UserError(f'list file {path} names no video')
    return found


def _file_stamp(path: str | os.PathLike | None) -> list | None:
    """What changes when a file is replaced: its path, size and time of writing."""
    if path is None or not os.path.isfile(path):
        return None
    status = os.stat(path)
    return [os.path.realpath(path), status.st_size, status.st_mtime_ns]
