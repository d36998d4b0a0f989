"""A generator of untrimmed videos whose actions only motion tells apart.

With context, some actions are told apart only by what came seconds before them.
"""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from rich.progress import track

from ..structures.timebase import frames_to_seconds
from ..utils.io import read_json, write_json
from ..utils.processes import run_jobs
from .synthetic_scene import (
    CLASSES,
    CONTEXT_CLASSES,
    MOTIONS,
    NODS,
    SIGNAL,
    Y_HIGH,
    Y_LOW,
    LampState,
    Motion,
    render,
)
from .video import write_video

# Raise when the same settings give other videos or annotations than before.
GENERATOR_VERSION = 2
# Split as in file names -> (its part of the seed, `subset` in the annotations).
_SPLITS = {'train': (0, 'training'), 'test': (1, 'test')}
_VIDEO_NAME = re.compile(r'\.?synthetic_(train|test)_\d+(\.\w+)?\.mp4')

_MIN_ACTION_S, _MAX_ACTION_S, _MEDIAN_ACTION_S = 0.5, 12.0, 2.5
_MIN_GAP_S, _MAX_GAP_S = 0.5, 4.0
_ACTION_SPREAD = 0.6  # standard deviation of the logarithm of the length

# From the end of a cue to its nod, so that 12.8 s hold a cue and most of its nod.
_CUE_DELAY_S, _CUE_LENGTH_S, _NOD_LENGTH_S = (5.0, 6.0), (1.0, 1.5), (1.0, 2.5)
# Between nods, and before the first: every cue lies between two nods.
_NOD_GAP_S = (_CUE_DELAY_S[1] + _CUE_LENGTH_S[1], 9.0)


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
        context: Whether there are also actions that only context tells: nods, whose
            class is the colour in which a lamp shone before, and the lamp's swings.

    Raises:
        ValueError: If a value makes no sense.
    """

    num_train: int = 128
    num_test: int = 24
    seed: int = 0
    duration: tuple[float, float] = (24.0, 40.0)
    size: int = 64
    fps: tuple[int, ...] = (10, 15, 20)
    context: bool = False

    def __post_init__(self) -> None:
        low, high = self.duration
        for name, fits, needed in (
            ('num_train', self.num_train >= 0, 'not be negative'),
            ('num_test', self.num_test >= 0, 'not be negative'),
            ('seed', self.seed >= 0, 'not be negative'),
            ('num_train', self.num_train + self.num_test, 'be positive, or num_test'),
            # Shorter videos have no room for a gap, an action and a gap.
            ('duration', 1.5 <= low <= high, 'ascend from at least 1.5 s'),
            # Shorter ones have no room for a cue, its nod and a gap.
            ('duration', not self.context or low >= 15, 'be 15 s or more with context'),
            # H.264 stores colour at half the resolution.
            ('size', self.size >= 32 and not self.size % 2, 'be even and at least 32'),
            # Slower sampling does not show the fastest motions.
            ('fps', min(self.fps, default=0) >= 10, 'hold rates of at least 10'),
        ):
            if not fits:
                raise ValueError(f'{name} is {getattr(self, name)}, but must {needed}.')


class Part(NamedTuple):
    """A stretch of the video in which the actor follows one motion."""

    start_s: float
    end_s: float
    label: str | None  # class name; None between actions
    motion: Motion  # poses (3,) or (3, T) by the seconds since the start
    cue_s: tuple[float, float] | None = None  # when the lamp announces the class


def _write_script(
    rng: np.random.Generator, duration_s: float, context: np.random.Generator | None
) -> list[Part]:
    """Draws what the actor does: parts that cover the video without gap or overlap.

    Classes come from a reshuffled deck, so that they are balanced. The lengths of
    actions are log-normal. Boundaries are whole milliseconds, so that annotations and
    motions agree exactly. All of a nod but its motion comes from ``context``, so that
    nothing else in the video tells its class.
    """
    classes = CLASSES if context is None else (*CLASSES, SIGNAL)
    next_nod_s = math.inf if context is None else context.uniform(*_NOD_GAP_S)
    pose = rng.uniform([0.0, Y_LOW + 0.05, 0.0], [1.0, Y_HIGH - 0.05, 1.0])
    parts: list[Part] = []
    deck: list[str] = []
    now = 0.0

    def floor_ms(seconds: float) -> float:
        return math.floor(seconds * 1000.0) / 1000.0

    while now < duration_s:
        ends: list[tuple] = [(duration_s, None, None)]  # and label and cue
        # An action is added while what is left would be too long for a gap.
        if not parts or duration_s - now > _MAX_GAP_S:
            gap = min(_MIN_GAP_S + rng.exponential(1.0), _MAX_GAP_S)
            start = floor_ms(min(now + gap, duration_s - _MIN_GAP_S - _MIN_ACTION_S))
            length = _MEDIAN_ACTION_S * math.exp(_ACTION_SPREAD * rng.standard_normal())
            length = min(max(length, _MIN_ACTION_S), _MAX_ACTION_S)
            deck = deck or rng.permutation(classes).tolist()
            if start < next_nod_s:
                label, cue = deck.pop(), None
            else:
                length = context.uniform(*_NOD_LENGTH_S)
                next_nod_s = start + length + context.uniform(*_NOD_GAP_S)
                cue_end = start - context.uniform(*_CUE_DELAY_S)
                cue = cue_end - context.uniform(*_CUE_LENGTH_S), cue_end
                label = NODS[context.integers(2)]
            end = floor_ms(min(start + length, duration_s - _MIN_GAP_S))
            end = max(end, round(start + _MIN_ACTION_S, 3))
            ends = [(start, None, None), (end, label, cue)]
        for end_s, label, cue in ends:
            motion = MOTIONS[label](rng, pose, end_s - now)
            parts.append(Part(now, end_s, label, motion, cue))
            now, pose = end_s, motion(end_s - now)
    return parts


class SyntheticVideo:
    """One video of the data set, a function of the settings, split and index."""

    def __init__(self, settings: SyntheticSettings, split: str, index: int) -> None:
        split_seed, self.subset = _SPLITS[split]
        self.video_id = f'synthetic_{split}_{index:04d}'
        self.file_name = f'{self.video_id}.mp4'
        self._size = settings.size
        sequence = np.random.SeedSequence([settings.seed, split_seed, index])
        # Script, look and context have their own streams: changing one keeps the rest.
        script_seed, self._scene_seed, context_seed = sequence.spawn(3)
        rng = np.random.default_rng(script_seed)
        rates = settings.fps
        # The first one is the usual rate, the others take equal shares of the rest.
        first = len(rates) == 1 or rng.random() < 0.6
        self.fps = int(rates[0] if first else rng.choice(rates[1:]))
        self.num_frames = round(rng.uniform(*settings.duration) * self.fps)
        self.duration_s = frames_to_seconds(self.num_frames, self.fps)
        self._has_lamp = settings.context
        context = np.random.default_rng(context_seed) if settings.context else None
        self.parts = _write_script(rng, self.duration_s, context)

    @property
    def actions(self) -> list[Part]:
        """The parts that are actions."""
        return [part for part in self.parts if part.label is not None]

    def poses(self, times_s: np.ndarray) -> np.ndarray:
        """Returns the actor's (3, T) x, y and level at (T,) ascending seconds."""
        ends = [part.end_s for part in self.parts[:-1]]
        owner = np.searchsorted(ends, times_s, side='right')
        pieces = [
            part.motion(times_s[owner == index] - part.start_s)
            for index, part in enumerate(self.parts)
        ]
        return np.concatenate(pieces, axis=1)

    def lamp(self, time_s: float) -> LampState:
        """Returns what the lamp of a scene with context does."""
        light, swing = None, 0.0
        for part in self.actions:
            if part.cue_s and part.cue_s[0] <= time_s < part.cue_s[1]:
                light = part.label
            if part.label == SIGNAL and part.start_s <= time_s < part.end_s:
                # About 2 Hz, in whole half turns: it starts and ends in its place.
                length_s = part.end_s - part.start_s
                turns = round(4.0 * length_s) / 2 * (time_s - part.start_s) / length_s
                swing = math.sin(2.0 * math.pi * turns)
        return LampState(light, swing)

    def frames(self) -> Iterator[np.ndarray]:
        """Yields the (H, W, 3) uint8 RGB frames."""
        # Each frame shows the middle of [i / fps, (i + 1) / fps).
        times_s = frames_to_seconds(np.arange(self.num_frames) + 0.5, self.fps)
        rng = np.random.default_rng(self._scene_seed)
        lamp = self.lamp if self._has_lamp else None
        return render(rng, self._size, times_s, self.poses(times_s), lamp)

    def annotation(self) -> dict[str, Any]:
        """Returns the video's entry in the annotation database."""
        annotations = [
            dict(segment=[part.start_s, part.end_s], label=part.label)
            for part in self.actions
        ]
        facts = dict(subset=self.subset, duration=self.duration_s, fps=self.fps)
        return dict(facts, file=self.file_name, annotations=annotations)


def generate_dataset(
    out_dir: str | os.PathLike,
    settings: SyntheticSettings = SyntheticSettings(),  # noqa: B008 (immutable)
    workers: int = 2,
    overwrite: bool = False,
) -> Path:
    """Writes a synthetic data set, or completes or keeps the one that is there.

    Files appear under their names only when whole, so a killed run is continued
    by the next one with the same settings.

    Args:
        out_dir: Folder to write; gets ``annotations.json`` and ``videos/*.mp4``.
        settings: What to generate.
        workers: Number of processes; the result does not depend on it.
        overwrite: Whether to replace a data set of other settings.

    Returns:
        The annotation file.

    Raises:
        FileExistsError: If the folder holds a data set of other settings.
        ValueError: If ``workers`` is not positive.
    """
    if workers < 1:
        raise ValueError(f'workers is {workers}, but must be at least 1.')
    record = dict(name='mmtal_mts.synthetic', version=GENERATOR_VERSION)
    record |= json.loads(json.dumps(asdict(settings)))  # tuples become lists
    out_dir = Path(out_dir)
    annotation_file, video_dir = out_dir / 'annotations.json', out_dir / 'videos'
    # The annotations of an unfinished run, which say what its videos are of.
    draft = out_dir / '.annotations.json'
    own_videos = [p for p in video_dir.glob('*') if _VIDEO_NAME.fullmatch(p.name)]
    found = [_read_record(path) for path in (draft, annotation_file) if path.is_file()]
    if own_videos:  # whose settings may be unknown
        found.append({})
    if found and found[0] != record:
        if not overwrite:
            differences = ', '.join(
                f'{key} is {found[0].get(key)!r}, asked for {wanted!r}'
                for key, wanted in record.items()
                if found[0].get(key) != wanted
            )
            raise FileExistsError(
                f'{out_dir} already holds a data set made with other settings '
                f'({differences}). Choose another folder, or replace it with '
                '--overwrite (overwrite=True).'
            )
        # The records go last: what remains after a kill still has its settings.
        for path in (*own_videos, annotation_file, draft):
            path.unlink(missing_ok=True)

    counts = dict(train=settings.num_train, test=settings.num_test)
    plan = [(split, i) for split, count in counts.items() for i in range(count)]
    videos = {entry: SyntheticVideo(settings, *entry) for entry in plan}
    jobs = [e for e in plan if not (video_dir / videos[e].file_name).exists()]
    if not jobs and annotation_file.exists():
        return annotation_file
    # Files stay those of before there was context, unless they have it.
    stored = {key: value for key, value in record.items() if key != 'context' or value}
    classes = CONTEXT_CLASSES if settings.context else CLASSES
    content = dict(version='1.0', classes=classes, generator=stored)
    content['database'] = {v.video_id: v.annotation() for v in videos.values()}
    write_json(draft, content)
    write = partial(_write, settings=settings, video_dir=video_dir)
    with closing(run_jobs(write, jobs, workers)) as results:
        for _, error in track(results, 'Rendering synthetic videos', len(jobs)):
            if error is not None:
                raise error
    os.replace(draft, annotation_file)
    return annotation_file


def _write(job: tuple[str, int], settings: SyntheticSettings, video_dir: Path) -> None:
    video = SyntheticVideo(settings, *job)
    write_video(video_dir / video.file_name, video.frames(), video.fps)


def _read_record(path: Path) -> dict[str, Any]:
    """The settings by which a file of annotations was made, empty if unknown."""
    try:
        return dict(context=False) | dict(read_json(path)['generator'])
    # A UserError is a ValueError.
    except (KeyError, TypeError, ValueError):
        return {}
