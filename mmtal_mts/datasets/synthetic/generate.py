"""The synthetic data set on disk: videos, annotations, and what made them."""

from __future__ import annotations

import json
import os
import re
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

from rich.progress import track

from mmtal_mts.utils.io import write_json
from mmtal_mts.utils.processes import exit_with_parent, fork_context

from ..video_writer import write_video
from .motions import CLASSES
from .video import SyntheticSettings, SyntheticVideo

ANNOTATION_FILE = 'annotations.json'
VIDEO_DIR = 'videos'
# Says which settings the videos of an unfinished run belong to.
_UNFINISHED_FILE = '.generator.json'
_VIDEO_NAME = re.compile(r'\.?synthetic_(train|test)_\d+\.mp4(\.partial)?')


def generate_dataset(
    out_dir: str | os.PathLike,
    settings: SyntheticSettings | None = None,
    workers: int = 2,
    overwrite: bool = False,
    progress: bool = True,
) -> Path:
    """Writes a synthetic data set, or completes or keeps the one that is there.

    Files appear under their names only when whole, so a killed run is continued
    by the next one with the same settings.

    Args:
        out_dir: Folder to write; gets ``annotations.json`` and ``videos/*.mp4``.
        settings: What to generate; the defaults if None.
        workers: Number of processes; the result does not depend on it.
        overwrite: Whether to replace a data set of other settings.
        progress: Whether to show a progress bar.

    Returns:
        The annotation file.

    Raises:
        FileExistsError: If the folder holds a data set of other settings.
        ValueError: If ``workers`` is not positive.
    """
    if workers < 1:
        raise ValueError(f'workers is {workers}, but must be at least 1.')
    settings = settings or SyntheticSettings()
    out_dir = Path(out_dir)
    record = settings.as_record()
    if _found_record(out_dir) not in (None, record):
        if not overwrite:
            raise FileExistsError(_describe_conflict(out_dir, record))
        _remove_dataset(out_dir)

    annotation_file = out_dir / ANNOTATION_FILE
    video_dir = out_dir / VIDEO_DIR
    plan = [('train', index) for index in range(settings.num_train)]
    plan += [('test', index) for index in range(settings.num_test)]
    videos = [SyntheticVideo(settings, *entry) for entry in plan]
    jobs = [
        entry
        for entry, video in zip(plan, videos)
        if not (video_dir / video.file_name).exists()
    ]
    if not jobs and annotation_file.exists():
        return annotation_file

    video_dir.mkdir(parents=True, exist_ok=True)
    write_json(out_dir / _UNFINISHED_FILE, record)
    _render_all(settings, jobs, video_dir, workers, progress)
    write_json(
        annotation_file,
        {
            'version': '1.0',
            'classes': list(CLASSES),
            'generator': record,
            'database': {video.video_id: video.annotation() for video in videos},
        },
    )
    (out_dir / _UNFINISHED_FILE).unlink()
    return annotation_file


def _render_all(
    settings: SyntheticSettings,
    jobs: list[tuple[str, int]],
    video_dir: Path,
    workers: int,
    progress: bool,
) -> None:
    workers = min(workers, len(jobs))
    label = 'Rendering synthetic videos'
    if workers <= 1:
        for job in track(jobs, label, disable=not progress):
            _render(settings, *job, video_dir)
        return
    with ProcessPoolExecutor(workers, fork_context(), exit_with_parent) as pool:
        futures = [pool.submit(_render, settings, *job, video_dir) for job in jobs]
        try:
            done = as_completed(futures)
            for future in track(done, label, len(jobs), disable=not progress):
                future.result()
        except BaseException:
            for future in futures:
                future.cancel()
            raise


def _render(
    settings: SyntheticSettings, split: str, index: int, video_dir: Path
) -> None:
    video = SyntheticVideo(settings, split, index)
    write_video(video_dir / video.file_name, video.frames(), video.fps, settings.size)


def _found_record(out_dir: Path) -> dict[str, Any] | None:
    """Returns the settings of the data set in a folder, None if there is none."""
    unfinished = _read_json(out_dir / _UNFINISHED_FILE)
    if unfinished is not None:
        return unfinished
    annotations = _read_json(out_dir / ANNOTATION_FILE)
    if annotations is not None:
        return annotations.get('generator', {})
    # Videos of unknown settings must not be taken for the wanted ones.
    return {} if _own_videos(out_dir) else None


def _describe_conflict(out_dir: Path, wanted: dict[str, Any]) -> str:
    found = _found_record(out_dir) or {}
    keys = [key for key in wanted if found.get(key) != wanted[key]]
    differences = ', '.join(
        f'{key} is {found.get(key)!r}, asked for {wanted[key]!r}' for key in keys
    )
    return (
        f'{out_dir} already holds a data set made with other settings '
        f'({differences}). Choose another folder, or replace it with --overwrite '
        '(overwrite=True).'
    )


def _remove_dataset(out_dir: Path) -> None:
    """Removes what this generator wrote, and nothing else."""
    # The records go last: whatever remains after a kill still has its settings.
    for path in _own_videos(out_dir):
        path.unlink()
    for name in (ANNOTATION_FILE, _UNFINISHED_FILE):
        (out_dir / name).unlink(missing_ok=True)


def _own_videos(out_dir: Path) -> list[Path]:
    """Returns the files in the video folder that are named as ours."""
    video_dir = out_dir / VIDEO_DIR
    paths = video_dir.iterdir() if video_dir.is_dir() else ()
    return [path for path in paths if _VIDEO_NAME.fullmatch(path.name)]


def _read_json(path: Path) -> dict[str, Any] | None:
    try:
        content = json.loads(path.read_text())
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise FileExistsError(
            f'{path} is not valid JSON ({error}). Remove it, or choose another folder.'
        ) from error
    return content if isinstance(content, dict) else {}
