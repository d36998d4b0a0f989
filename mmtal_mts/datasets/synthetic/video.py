"""What a synthetic data set consists of: settings, and videos made from them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from .scene import Scene
from .script import MIN_VIDEO_S, Script, write_script

# Raise when the same settings give other videos or annotations than before.
GENERATOR_VERSION = 2
# Split as in file names -> (its part of the seed, `subset` in the annotations).
_SPLITS = {'train': (0, 'training'), 'test': (1, 'test')}
# The first frame rate is the usual one, the others take equal shares of the rest.
_FIRST_RATE_SHARE = 0.6


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
        for name in ('num_train', 'num_test', 'seed'):
            if getattr(self, name) < 0:
                raise ValueError(
                    f'{name} is {getattr(self, name)}, but must not be negative.'
                )
        if self.num_train + self.num_test == 0:
            raise ValueError(
                'num_train and num_test are both 0: ask for at least one video.'
            )
        low, high = self.duration
        if not MIN_VIDEO_S <= low <= high:
            raise ValueError(
                f'duration is ({low}, {high}) seconds, but must be ascending and at '
                f'least {MIN_VIDEO_S}: shorter videos have no room for an action.'
            )
        if self.size < 32 or self.size % 2:
            raise ValueError(
                f'size is {self.size} pixels, but must be even (H.264 stores colour '
                'at half the resolution) and at least 32.'
            )
        if not self.fps or min(self.fps) < 10:
            raise ValueError(
                f'fps is {self.fps}, but every rate must be at least 10: slower '
                'sampling does not show the fastest motions.'
            )

    def as_record(self) -> dict[str, Any]:
        """Returns the JSON entry that is stored with the annotations."""
        record = {'name': 'mmtal_mts.synthetic', 'version': GENERATOR_VERSION}
        record.update(json.loads(json.dumps(asdict(self))))
        return record


class SyntheticVideo:
    """One video of the data set, a function of the settings, split and index.

    Args:
        settings: Settings of the data set.
        split: 'train' or 'test'.
        index: Number of the video within its split.
    """

    def __init__(self, settings: SyntheticSettings, split: str, index: int) -> None:
        split_seed, self.subset = _SPLITS[split]
        self.video_id = f'synthetic_{split}_{index:04d}'
        self._size = settings.size
        sequence = np.random.SeedSequence([settings.seed, split_seed, index])
        # Script and look have their own streams: changing one keeps the other.
        script_seed, self._scene_seed = sequence.spawn(2)
        rng = np.random.default_rng(script_seed)
        rates = settings.fps
        first = len(rates) == 1 or rng.random() < _FIRST_RATE_SHARE
        self.fps = int(rates[0] if first else rng.choice(rates[1:]))
        self.num_frames = round(rng.uniform(*settings.duration) * self.fps)
        self.duration_s = self.num_frames / self.fps
        self.script: Script = write_script(rng, self.duration_s)

    @property
    def file_name(self) -> str:
        """Name of the video file."""
        return f'{self.video_id}.mp4'

    @property
    def times_s(self) -> np.ndarray:
        """(T,) time each frame shows: the middle of [i / fps, (i + 1) / fps)."""
        return (np.arange(self.num_frames) + 0.5) / self.fps

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
