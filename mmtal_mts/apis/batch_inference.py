"""Inference on many videos, with files as the result."""

from __future__ import annotations

import atexit
import glob
import itertools
import json
import os
import time
from collections import Counter
from collections.abc import Sequence
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
from . import writers
from .annotated_video import PREVIEW_SUFFIX, write_annotated_video
from .report import write_report
from .runner import prepare_cpu_processes
from .tal_inferencer import TALInferencer
from .writers import Selection

FORMATS = {
    'json': ('.json', writers.write_json),
    'csv': ('.csv', writers.write_csv),
    'srt': ('.srt', writers.write_subtitles),
    'vtt': ('.vtt', writers.write_subtitles),
    'png': ('.png', writers.write_timeline),
    'html': ('.html', write_report),
    'mp4': ('.annotated.mp4', write_annotated_video),
}
"""Endings of files and writers by the name of their format, the quickest first."""
# Name of the file with the detections of all videos.
_ALL = 'detections'
_LIST_SUFFIXES = ('.txt', '.lst')
# Videos that are no inputs.
_RESULTS = (FORMATS['mp4'][0], PREVIEW_SUFFIX)
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
        """Returns a line with the numbers, and the reason of each failure."""
        counts = {name: len(part) for name, part in vars(self).items()}
        parts = [f'{n} {name}' for name, n in counts.items() if n or name == 'done']
        reasons = [why if p in why else f'{p}: {why}' for p, why in self.failed.items()]
        return '\n  '.join([f'videos: {", ".join(parts)}', *reasons])


def infer_videos(
    inferencer: TALInferencer,
    inputs: Sequence[str | os.PathLike],
    out_dir: str | os.PathLike,
    formats: Sequence[str] = ('json', 'html'),
    selection: Selection = Selection(),  # noqa: B008 (immutable)
    ann_file: str | os.PathLike | None = None,
    overwrite: bool = False,
) -> BatchReport:
    """Runs an inferencer over many videos and writes their results.

    A broken video does not stop the others. A video whose files are there, made with
    the same settings from the same file, is skipped. The processes of a launcher, see
    :func:`join_processes`, share the videos.

    Args:
        inferencer: With the model.
        inputs: See :func:`find_videos`.
        out_dir: Folder of the results.
        formats: Some of :data:`FORMATS`.
        selection: Which detections are written.
        ann_file: Native annotation with ground truth to be shown. Segments that reach
            out of their video are cut.
        overwrite: Do finished videos again.

    Raises:
        UserError: A setting is unusable, an input stands for nothing, or results would
            overwrite a video.
    """
    selection.check(inferencer.classes)
    unknown = [name for name in formats if name not in FORMATS]
    if unknown or not formats:
        raise UserError(
            f'unknown format {", ".join(map(repr, unknown)) or "(none)"}; choose '
            f'from {", ".join(FORMATS)}'
        )
    annotations = ann_file and load_annotations(os.fspath(ann_file), on_invalid='clamp')
    videos, out_dir = find_videos(inputs), Path(out_dir)
    chosen = [FORMATS[kind] for kind in FORMATS if kind in formats]
    files = {name: [out_dir / f'{name}{end}' for end, _ in chosen] for name in videos}
    results = {os.path.realpath(file) for own in files.values() for file in own}
    for path in videos.values():
        if os.path.realpath(path) in results:
            raise UserError(f'{path} would be overwritten. Remedy: another --out')
    settings = dict(
        version=__version__,
        formats=sorted(formats),
        selection=vars(selection),
        annotations=_file_stamp(ann_file),
        config=inferencer.cfg.pretty_text,
        weights=_file_stamp(inferencer.weights),
        amp=inferencer.amp,
        windows=inferencer.window_cfg,
    )
    rank, count = dist.get_dist_info()
    mine, report = list(videos.items())[rank::count], BatchReport()
    with VideoProgress(len(mine), f'[{rank}] ' if count > 1 else '') as progress:
        for name, path in mine:
            # What the results depend on is written down when all of them are there.
            stamp = json.dumps(dict(video=_file_stamp(path), settings=settings))
            finished = out_dir / '.finished' / f'{name}.json'
            is_whole = all(file.is_file() for file in (finished, *files[name]))
            known = finished.read_text('utf-8', 'replace') if is_whole else None
            if known == stamp and not overwrite:
                report.skipped.append(name)
                progress.end(f'{name}: finished before, skipped', 'dim')
                continue
            progress.begin(name)
            began = time.perf_counter()
            try:
                result = inferencer(path, video_id=name, report=progress.windows)
                if annotations:
                    result = result.with_ground_truth(annotations)
                for (_, write), file in zip(chosen, files[name], strict=True):
                    progress.begin(file.name)
                    write(result, file, selection)
                with atomic_write(finished) as temporary:
                    temporary.write_text(stamp, 'utf-8')
            # Whatever is wrong with this video, the next one may be fine.
            except Exception as error:
                if os.environ.get('MMTAL_DEBUG') == '1':
                    raise
                report.failed[path] = error_message(error)
                progress.end(f'{name}: FAILED, {report.failed[path]}', 'red')
                continue
            report.done.append(name)
            number, seconds = len(selection(result).detections), time.perf_counter()
            lines = [
                f'{name}: {number} action{"s" * (number != 1)} in '
                f'{result.duration:.1f} s of video, took {seconds - began:.1f} s'
            ]
            lines += [f'  {name}: {warning}' for warning in result.warnings]
            progress.end('\n'.join(lines), 'yellow' if result.warnings else '')
    whole, found = BatchReport(), {}
    for part in dist.all_gather_object(report):
        whole.done += part.done
        whole.skipped += part.skipped
        whole.failed |= part.failed
    if rank == 0 and len(videos) > 1 and 'json' in formats:
        for path in (out_dir / f'{name}.json' for name in videos):
            if path.is_file():
                found |= load_detections(path, inferencer.classes)
        dump_detections(out_dir / f'{_ALL}.json', found, inferencer.classes)
    return whole


class VideoProgress(Progress):
    """Bars of the videos and of the windows of one, if there is a terminal; and lines.

    Args:
        num_videos: Videos of this process.
        prefix: Put before each line, e.g. the number of the process.
    """

    def __init__(self, num_videos: int, prefix: str = '') -> None:
        terminal = Console(highlight=False, soft_wrap=True)
        super().__init__(console=terminal, transient=True)
        self.disable, self._prefix = not terminal.is_terminal, prefix
        self._videos = self.add_task('videos', total=num_videos)
        self._windows = self.add_task('', total=None, visible=False)

    def begin(self, name: str) -> None:
        """Starts the bar of a video, or of a file that is written for it, anew."""
        self.reset(self._windows, description=escape(name), visible=True)

    def windows(self, done: int, total: int | None) -> None:
        """Shows how many windows of the video are done, of how many if known."""
        self.update(self._windows, completed=done, total=total)

    def end(self, text: str, style: str = '') -> None:
        """Writes on a finished video, in a style of :mod:`rich`."""
        self.console.print(self._prefix + text, style=style, markup=False)
        self.advance(self._videos)


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


def find_videos(inputs: Sequence[str | os.PathLike]) -> dict[str, str]:
    """Lists the videos that inputs stand for.

    Args:
        inputs: Each a video file, a folder (searched with its subfolders for known
            extensions), a glob pattern, or a list file (``.txt``: one of these per
            line, relative to the file's folder; lines that begin with # are skipped).
            Videos that are results of an earlier run are left out of folders and
            patterns.

    Returns:
        Files in order, each once, by the unique names that their results get: the name
        of the file without its extension if that is enough. None is ``detections``.

    Raises:
        UserError: An input stands for nothing.
    """
    found: dict[str, Path] = {}
    for path in (path for item in inputs for path in _expand(os.fspath(item))):
        found.setdefault(os.path.realpath(path), Path(path))
    # More and more of the path, until no other has the name.
    forms = {
        path: dict.fromkeys([path.stem, path.name, '_'.join(path.resolve().parts[-2:])])
        for path in found.values()
    }
    taken = Counter(form.casefold() for own in forms.values() for form in own)
    taken[_ALL] += 1
    names = {}
    for path, own in forms.items():
        free = (form for form in own if taken[form.casefold()] == 1)
        numbered = (f'{path.name}-{number}' for number in itertools.count(2))
        numbered = (form for form in numbered if form.casefold() not in taken)
        name = next(itertools.chain(free, numbered))
        taken[name.casefold()] += 1
        names[name] = str(path)
    return names


def _expand(item: str, list_file: Path | None = None) -> list[str]:
    """The video files that an input, or a line of a list file, stands for."""
    root = list_file.parent if list_file else Path()
    path, is_list = root / item, item.endswith(_LIST_SUFFIXES)
    if is_list and list_file:
        raise UserError(f'list file {list_file} names another list, {item}')
    if is_list and path.is_file():
        try:
            lines = map(str.strip, path.read_text(encoding='utf-8-sig').splitlines())
        except UnicodeDecodeError as error:
            raise UserError(f'list file {path} is not UTF-8 text: {error}') from error
        entries = [line for line in lines if line and not line.startswith('#')]
        if not entries:
            raise UserError(f'list file {path} names no video')
        return [file for entry in entries for file in _expand(entry, path)]
    files, problem = path.rglob('[!.]*'), 'holds no video'
    if not path.is_dir():
        is_pattern = glob.has_magic(item) and not path.exists()
        # A missing file of a list is a broken video: the others are not held up by it.
        if path.is_file() or (list_file and not is_pattern):
            return [str(path)]
        problem = 'matches no file' if is_pattern else 'does not exist'
        files = (root / f for f in glob.glob(item, root_dir=root, recursive=True))
    found = [str(file) for file in files if file.is_file()]
    ends = VIDEO_EXTENSIONS if path.is_dir() else ''
    found = [f for f in found if f.lower().endswith(ends) and not f.endswith(_RESULTS)]
    if not found:
        raise UserError(
            f'input {item} {problem}. Remedy: give video files, folders with '
            f'{" ".join(VIDEO_EXTENSIONS)} files, quoted patterns like "videos/*.mp4", '
            'or a .txt file with one of these per line'
        )
    return sorted(found)


def _file_stamp(path: str | os.PathLike | None) -> list | None:
    """What changes when a file is replaced: its path, size and time of writing."""
    if path is None or not os.path.isfile(path):
        return None
    status = os.stat(path)
    return [os.path.realpath(path), status.st_size, status.st_mtime_ns]
