"""Settings for all tests."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from toy_runner import ROOT

from mmtal_mts.compat import full_flavour_problem

# Tests are small; more threads only get into each other's way.
torch.set_num_threads(min(2, torch.get_num_threads()))


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skips what needs the full flavour where it is not installed."""
    if item.get_closest_marker('full') and (problem := full_flavour_problem()):
        pytest.skip(problem)


@pytest.fixture(autouse=True)
def _fixed_seed() -> None:
    """Makes tests that draw random tensors repeatable."""
    torch.manual_seed(0)


@pytest.fixture
def repo_root() -> Path:
    """Root of the repository."""
    return ROOT


@pytest.fixture(scope='session')
def load_tool() -> Callable[[str], ModuleType]:
    """Imports a command line tool, given its path under ``tools/``."""

    def load(path: str) -> ModuleType:
        file, name = ROOT / 'tools' / path, Path(path).stem
        spec = importlib.util.spec_from_file_location(name, file)
        # Dataclasses look their module up.
        sys.modules[name] = module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    return load


@pytest.fixture(scope='session')
def afsd_thumos14() -> dict[str, dict[str, tuple[int, np.ndarray]]]:
    """AFSD's THUMOS14 annotations, as its loader sees them.

    Split ('val', 'test') -> video, in the order of its first annotation -> number of
    sampled frames, and rows (G, 3) of start and end in sampled frames and label from 1.
    """
    splits = {}
    with np.load(ROOT / 'tests/data/goldens/thumos14_afsd.npz') as data:
        for split, long_name in (('val', 'validation'), ('test', 'test')):
            numbers, frames = data[f'{split}_videos'], data[f'{split}_frames']
            rows = data[f'{split}_rows'].astype(float)
            splits[split] = {}
            for index in dict.fromkeys(rows[:, 0].astype(int).tolist()):
                table = rows[rows[:, 0] == index, 1:]
                count, sample_count = (float(value) for value in frames[index])
                table[:, :2] *= sample_count / count
                name = f'video_{long_name}_{numbers[index]:07d}'
                splits[split][name] = (int(sample_count), table)
    return splits


@pytest.fixture(scope='session')
def number_of() -> Callable[[np.ndarray], int]:
    """Reads the number that ``make_video`` wrote into a frame."""

    def read(image: np.ndarray) -> int:
        width = image.shape[1]
        low, high = image[:, : width // 2 - 2], image[:, width // 2 + 2 :]
        return round((low.mean() - 8) / 15) + 16 * round((high.mean() - 8) / 15)

    return read


@pytest.fixture(scope='session')
def make_video() -> Callable[..., str]:
    """Writes a small video of up to 256 frames, each with its number in it."""
    av = pytest.importorskip('av')

    def write(
        path: Path,
        num_frames: int,
        fps: int | Fraction = 30,
        *,
        times: Sequence[float] | None = None,
        size: tuple[int, int] = (48, 32),
        codec: str = 'libx264',
        with_sound: bool = False,
        delay: float = 0,
    ) -> str:
        """``times`` in seconds, for a varying rate; ``size`` width, height; ``delay``
        of the pictures behind the sound in seconds."""
        width, height = size
        tick = Fraction(1, 90_000)
        if delay:
            times = [delay + float(index / fps) for index in range(num_frames)]
        with av.open(str(path), 'w') as container:
            stream = container.add_stream(codec, rate=fps)
            stream.width, stream.height = width, height
            stream.pix_fmt = 'yuv444p' if width % 2 or height % 2 else 'yuv420p'
            if codec == 'mpeg4':
                stream.bit_rate = 4_000_000
            if times is not None:
                stream.codec_context.time_base = tick
            if with_sound:
                sound_codec = 'mp3' if path.suffix == '.avi' else 'aac'
                sound = container.add_stream(sound_codec, rate=16_000, layout='mono')
            image = np.empty((height, width, 3), dtype=np.uint8)
            for index in range(num_frames):
                # The number in two grey halves, whatever the codec does.
                image[:, : width // 2] = 8 + 15 * (index % 16)
                image[:, width // 2 :] = 8 + 15 * (index // 16)
                frame = av.VideoFrame.from_ndarray(image, format='rgb24')
                frame.pts = index
                if times is not None:
                    frame.pts, frame.time_base = round(times[index] / tick), tick
                container.mux(stream.encode(frame))
            container.mux(stream.encode())
            if with_sound:
                length = round(16_000 * (delay + num_frames / fps))
                silence = np.zeros((1, 1024), dtype=np.float32)
                for start in range(0, length - 1023, 1024):
                    frame = av.AudioFrame.from_ndarray(silence, 'fltp', 'mono')
                    frame.rate, frame.pts = 16_000, start
                    container.mux(sound.encode(frame))
                container.mux(sound.encode())
        return str(path)

    return write
