"""The synthetic data set on disk: videos, annotations, and what made them."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from rich.progress import track

from ...structures.timebase import frames_to_seconds
from ...utils.errors import UserError
from ...utils.io import read_json, write_json
from ...utils.processes import run_jobs
from ..video import write_video
from .scene import Scene
from .script import CLASSES, MIN_VIDEO_S, write_script

# Raise when the same settings give other videos or annotations than before.
GENERATOR_VERSION = 2
# Split as in file names -> (its part of the seed, `subset` in the annotations).
_SPLITS = {'train': (0, 'training'), 'test': (1, 'test')}
# The first frame rate is the usual one, the others take equal shares of the rest.
_FIRST_RATE_SHARE = 0.6
ANNOTATION_FILE = 'annotations.json'
VIDEO_DIR = 'videos'
# Says which settings the videos of an unfinished run belong to.
_UNFINISHED_FILE = '.generator.json'
_VIDEO_NAME = re.compile(r'\.?synthetic_(train|test)_\d+(\.\w+)?\.mp4')


@dataclass(frozen=True)
class SyntheticSettings:
    """Everything the content of a synthetic data set depends on.

    Attributes:
        num_train: Number of training videos.
        num_test: Number of test videos; they share no seed with training.
        seed: Video i of a split depends on (seed, split, i) and on the
            attributes below, not on the number of videos.
        duration: Shortest and longest video in seconds.
        size: Side of the square frames in pixels.
        fps: Frame rates; 60 % of the videos have the first one.
    """

    num_train: int = 128
    num_test: int = 24
    seed: int = 0
    duration: tuple[float, float] = (24.0, 40.0)
    size: int = 64
    fps: tuple[int, ...] = (10, 15, 20)

    def __post_init__(self) -> None:
        """Checks the values."""
        (low, high), fault = self.duration, None
        for name in ('num_train', 'num_test', 'seed'):
            if getattr(self, name) < 0:
                fault = f'{name} is {getattr(self, name)}, but must not be negative.'
        if self.num_train == self.num_test == 0:
            fault = 'num_train and num_test are both 0: ask for at least one video.'
        if not MIN_VIDEO_S <= low <= high:
            fault = (
                f'duration is ({low}, {high}) seconds, but must be ascending and at '
                f'least {MIN_VIDEO_S}: shorter videos have no room for an action.'
            )
        if self.size < 32 or self.size % 2:
            fault = (
                f'size is {self.size} pixels, but must be even (H.264 stores colour '
                'at half the resolution) and at least 32.'
            )
        if not self.fps or min(self.fps) < 10:
            fault = (
                f'fps is {self.fps}, but every rate must be at least 10: slower '
                'sampling does not show the fastest motions.'
            )
        if fault:
            raise ValueError(fault)

    def as_record(self) -> dict[str, Any]:
        """Returns the JSON entry that is stored with the annotations."""
        record = {'name': 'mmtal_mts.synthetic', 'version': GENERATOR_VERSION}
        return record | json.loads(json.dumps(asdict(self)))


class SyntheticVideo:
    """One video of the data set, a function of the settings, split and index."""

    def __init__(self, settings: SyntheticSettings, split: str, index: int) -> None:
        split_seed, self.subset = _SPLITS[split]
        self.video_id = f'synthetic_{split}_{index:04d}'
        self.file_name = f'{self.video_id}.mp4'
        self._size = settings.size
        sequence = np.random.SeedSequence([settings.seed, split_seed, index])
        # Script and look have their own streams: changing one keeps the other.
        script_seed, self._scene_seed = sequence.spawn(2)
        rng = np.random.default_rng(script_seed)
        rates = settings.fps
        first = len(rates) == 1 or rng.random() < _FIRST_RATE_SHARE
        self.fps = int(rates[0] if first else rng.choice(rates[1:]))
        self.num_frames = round(rng.uniform(*settings.duration) * self.fps)
        self.duration_s = frames_to_seconds(self.num_frames, self.fps)
        # Each frame shows the middle of [i / fps, (i + 1) / fps).
        self.times_s = frames_to_seconds(np.arange(self.num_frames) + 0.5, self.fps)
        self.script = write_script(rng, self.duration_s)

    def frames(self) -> Iterator[np.ndarray]:
        """Yields the (H, W, 3) uint8 RGB frames."""
        scene = Scene(np.random.default_rng(self._scene_seed), self._size)
        return scene.frames(self.times_s, self.script.poses(self.times_s))

    def annotation(self) -> dict[str, Any]:
        """Returns the video's entry in the annotation database."""
        return {
            'subset': self.subset,
            'duration': self.duration_s,
            'fps': self.fps,
            'file': self.file_name,
            'annotations': [
                {'segment': [part.start_s, part.end_s], 'label': part.label}
                for part in self.script.actions
            ],
        }


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
    annotation_file, video_dir = out_dir / ANNOTATION_FILE, out_dir / VIDEO_DIR
    unfinished_file = out_dir / _UNFINISHED_FILE
    record = settings.as_record()
    own_videos = [
        path
        for path in (video_dir.iterdir() if video_dir.is_dir() else ())
        if _VIDEO_NAME.fullmatch(path.name)
    ]
    found = _read_record(unfinished_file)
    if found is None:
        found = _read_record(annotation_file, 'generator')
    if found is None and own_videos:
        found = {}  # Videos of unknown settings must not be taken for the wanted ones.
    if found not in (None, record):
        if not overwrite:
            differences = ', '.join(
                f'{key} is {found.get(key)!r}, asked for {wanted!r}'
                for key, wanted in record.items()
                if found.get(key) != wanted
            )
            raise FileExistsError(
                f'{out_dir} already holds a data set made with other settings '
                f'({differences}). Choose another folder, or replace it with '
                '--overwrite (overwrite=True).'
            )
        # The records go last: what remains after a kill still has its settings.
        for path in (*own_videos, annotation_file, unfinished_file):
            path.unlink(missing_ok=True)

    plan = [('train', index) for index in range(settings.num_train)]
    plan += [('test', index) for index in range(settings.num_test)]
    videos = [SyntheticVideo(settings, *entry) for entry in plan]
    jobs = [
        entry
        for entry, video in zip(plan, videos, strict=True)
        if not (video_dir / video.file_name).exists()
    ]
    if not jobs and annotation_file.exists():
        return annotation_file

    video_dir.mkdir(parents=True, exist_ok=True)
    write_json(unfinished_file, record)
    render = partial(_render, settings=settings, video_dir=video_dir)
    if workers == 1 or len(jobs) < 2:
        results = ((job, render(job)) for job in jobs)
    else:
        results = run_jobs(render, jobs, workers)
    with closing(results):
        label = 'Rendering synthetic videos'
        for _, error in track(results, label, len(jobs), disable=not progress):
            if isinstance(error, BaseException):
                raise error
    database = {video.video_id: video.annotation() for video in videos}
    content = {'version': '1.0', 'classes': list(CLASSES), 'generator': record}
    write_json(annotation_file, {**content, 'database': database})
    unfinished_file.unlink()
    return annotation_file


def _render(job: tuple[str, int], settings: SyntheticSettings, video_dir: Path) -> None:
    video = SyntheticVideo(settings, *job)
    write_video(video_dir / video.file_name, video.frames(), video.fps)


def _read_record(path: Path, key: str | None = None) -> dict[str, Any] | None:
    """The settings that a file holds; None if there is no file."""
    if not path.is_file():
        return None
    try:
        content = read_json(path)
    except UserError as error:
        raise FileExistsError(
            f'{error}. Remove it, or choose another folder.'
        ) from error
    if not isinstance(content, dict):
        return {}
    return content if key is None else content.get(key, {})
