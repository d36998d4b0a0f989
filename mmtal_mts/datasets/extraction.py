"""From video files to frames and optical flow that are read without decoding."""

from __future__ import annotations

import os
import shutil
import socket
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import mmcv
import numpy as np

from ..structures.timebase import (
    FrameTimes,
    mean_rate,
    num_sampled_frames,
    source_frame_indices,
)
from ..utils.errors import UserError
from .flow import FLOW_METHODS, FlowReader, scale_frame
from .sources import VideoFile
from .stored import CHANNELS, open_array
from .video import VideoReader, VideoReadError
from .video_file import announced_duration_s, complete_frames

LAYOUTS = ('npy', 'frames')
# Frames that are held at a time.
_CHUNK = 32
_BLOCK = 4096
# Bytes per pixel and channel of JPEG images, rounded up from measured ones.
_JPEG_BYTES = 0.15


@dataclass(frozen=True)
class ExtractionSettings:
    """What is made of every video.

    Attributes:
        modalities: 'RGB', 'Flow' or both, which decodes once.
        layout: 'npy' (an array (T, H, W, C) uint8 per video) or 'frames' (a folder of
            JPEG images per video).
        fps: Sampled frames per second. Either this or ``num_frames`` is given.
        num_frames: Sampled frames per video whatever its length; a video of fewer
            frames has some of them repeated.
        side: Height and width in pixels; the aspect ratio is not kept.
        flow_method: 'tvl1', 'dis' or 'farneback'.
        flow_bound: Largest flow in pixels of the scaled frames.
    """

    modalities: tuple[str, ...] = ('RGB',)
    layout: str = 'npy'
    fps: float | None = 10.0
    num_frames: int | None = None
    side: int = 112
    flow_method: str = 'tvl1'
    flow_bound: float = 20.0

    def __post_init__(self) -> None:
        """Checks the values."""
        for name, values, known in (
            ('modalities', self.modalities, tuple(CHANNELS)),
            ('layout', [self.layout], LAYOUTS),
            ('flow_method', [self.flow_method], FLOW_METHODS),
        ):
            if not values or set(values) - set(known):
                raise ValueError(f'{name} must be of {known}, got {values}')
        if (self.fps is None) == (self.num_frames is None):
            raise ValueError(
                f'give either fps or num_frames, got fps={self.fps} and '
                f'num_frames={self.num_frames}'
            )
        value = self.fps if self.num_frames is None else self.num_frames
        if not (np.isfinite(value) and value > 0):
            raise ValueError(f'fps and num_frames must be positive, got {value}')
        if self.side < 16:
            raise ValueError(f'side must be at least 16 pixels, got {self.side}')
        if not self.flow_bound > 0:
            raise ValueError(f'flow_bound must be positive, got {self.flow_bound}')

    def indices(self, times: FrameTimes) -> np.ndarray:
        """(M,) source frames of the sampled frames, the last of each interval."""
        count = self.num_frames or times.count(self.fps)
        if self.num_frames is None:
            indices = times.indices(0, count, self.fps)
        elif times.starts_s is None:
            # Of a constant rate only its ratio to the other one matters.
            indices = source_frame_indices(0, count, times.num_frames, count)
        else:
            indices = times.indices(0, count, mean_rate(count, times.duration_s))
        return np.minimum(indices, times.num_frames - 1)

    def folder(self, out_dir: Path, modality: str) -> Path:
        """The folder of a modality, for example ``OUT/flow_npy``."""
        return out_dir / f'{modality.lower()}_{self.layout}'

    def target(self, out_dir: Path, modality: str, video_id: str) -> Path:
        """The file or folder of a video, where a data set looks for it."""
        folder = self.folder(out_dir, modality)
        name = f'{video_id}.npy' if self.layout == 'npy' else video_id
        path = Path(os.path.normpath(folder / name))
        if Path(os.path.normpath(folder)) not in path.parents:
            raise UserError(f'video id {video_id!r} leads out of {folder}')
        return path

    def is_whole(self, path: Path, modality: str) -> bool:
        """Whether a video is there already, whole and of the right shape."""
        if self.layout == 'frames':
            # Folders get their name when they are complete.
            return path.is_dir()
        try:
            array = open_array(str(path), modality)
        except VideoReadError:
            return False
        shape = (self.side, self.side, CHANNELS[modality])
        return array.shape[1:] == shape and self.num_frames in (None, len(array))

    def num_bytes(self, modality: str, num_frames: int) -> int:
        """Estimates the disk space of a video; exact for arrays."""
        values = self.side * self.side * CHANNELS[modality]
        if self.layout == 'npy':
            return num_frames * values + 128
        images = 1 if modality == 'RGB' else 2
        blocks = -(-values * _JPEG_BYTES // (images * _BLOCK))
        return int(num_frames * images * blocks * _BLOCK)

    def record(self, modality: str) -> dict[str, Any]:
        """Everything that the files of a modality depend on."""
        keys = ['fps', 'num_frames', 'side', 'layout']
        keys += ['flow_method', 'flow_bound'] if modality == 'Flow' else []
        return dict({key: getattr(self, key) for key in keys}, modality=modality)


class Job(NamedTuple):
    """What is still to be extracted from a video, and the space that it takes."""

    video: VideoFile
    modalities: tuple[str, ...]
    num_frames: int  # 0 if the file does not open
    num_bytes: int


def plan_extraction(
    videos: Sequence[VideoFile], out_dir: Path, settings: ExtractionSettings
) -> list[Job]:
    """Finds out which videos are missing, and how much space they take."""
    jobs = []
    for video in videos:
        targets = {
            modality: settings.target(out_dir, modality, video.video_id)
            for modality in settings.modalities
        }
        missing = tuple(m for m, p in targets.items() if not settings.is_whole(p, m))
        if missing:
            count = settings.num_frames or 0
            length_s = announced_duration_s(video.path)
            if length_s and not count:
                count = num_sampled_frames(settings.fps, duration_s=length_s)
            space = sum(settings.num_bytes(modality, count) for modality in missing)
            jobs.append(Job(video, missing, count, space))
    return jobs


def extract_video(job: Job, out_dir: Path, settings: ExtractionSettings) -> int:
    """Extracts one video and returns the number of sampled frames.

    Raises:
        OSError: If the result cannot be written.
        VideoReadError: If the file cannot be read.
    """
    with ExitStack() as stack:
        reader = VideoReader(job.video.path, default_fps=job.video.annotated_fps)
        stack.enter_context(closing(reader))
        indices = settings.indices(reader.times)
        writers = {}
        for modality in job.modalities:
            path = settings.target(out_dir, modality, job.video.video_id)
            shape = (len(indices), *[settings.side] * 2, CHANNELS[modality])
            writers[modality] = stack.enter_context(_writer(path, shape))
        for clips in sampled_clips(reader, indices, settings, job.modalities):
            for modality, frames in clips.items():
                for frame in frames:
                    writers[modality](frame)
    return len(indices)


def sampled_clips(
    reader: VideoReader,
    indices: np.ndarray,
    settings: ExtractionSettings,
    modalities: Sequence[str],
) -> Iterator[dict[str, list[np.ndarray]]]:
    """Yields the scaled frames of a video and the flow between them, in pieces.

    Field k is the movement from sampled frame k to sampled frame k + 1; the last one
    is repeated. A single frame has no motion.
    """
    scale = partial(scale_frame, width=settings.side, height=settings.side)
    flow = FlowReader(reader, settings.flow_method, settings.flow_bound, scale)
    last: dict[str, np.ndarray] = {}
    for begin in range(0, len(indices), _CHUNK):
        numbers = np.arange(begin, min(begin + _CHUNK, len(indices)))
        clips = {}
        if 'RGB' in modalities:
            clips['RGB'] = reader.read(indices[numbers], scale)
        if 'Flow' in modalities and len(indices) == 1:
            clips['Flow'] = flow.still(int(indices[0]))
        elif 'Flow' in modalities:
            firsts = np.minimum(numbers, len(indices) - 2)
            clips['Flow'] = flow.read(indices[firsts], indices[firsts + 1])
        for modality, frames in clips.items():
            clips[modality] = complete_frames(
                *(frames, indices[numbers], reader.times, reader.path),
                before=last.get(modality),
                until=int(indices[-1]),
            )
            last[modality] = clips[modality][-1]
        yield clips


# Files appear under their name when they are whole.


def _host() -> str:
    return socket.gethostname().split('.')[0]


@contextmanager
def _writer(path: Path, shape: tuple[int, ...]) -> Iterator[Any]:
    """Yields what writes the next frame of a clip (T, H, W, C) to its place."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial_path = path.with_name(f'.{path.name}.{_host()}-{os.getpid()}.partial')
    _remove(partial_path)
    try:
        if path.suffix == '.npy':
            # Plain writes, not a memory map: a full disk is an error there, and not a
            # signal that ends the process.
            with open(partial_path, 'wb') as file:
                header = dict(descr='|u1', fortran_order=False, shape=shape)
                np.lib.format.write_array_header_1_0(file, header)
                yield lambda frame: file.write(np.ascontiguousarray(frame).data)
                file.flush()
                os.fsync(file.fileno())
        else:
            partial_path.mkdir()
            numbers = iter(range(1, shape[0] + 1))
            yield lambda frame: _write_images(partial_path, frame, next(numbers))
        # Replaces a damaged file; a folder cannot be replaced.
        if path.is_dir():
            shutil.rmtree(path)
        os.replace(partial_path, path)
    finally:
        _remove(partial_path)


def _write_images(folder: Path, frame: np.ndarray, number: int) -> None:
    """Writes ``img_00001.jpg``, or ``x_`` and ``y_`` for flow."""
    if frame.shape[2] == CHANNELS['Flow']:
        images = dict(x=frame[..., 0], y=frame[..., 1])
    else:
        images = dict(img=mmcv.rgb2bgr(frame))
    for name, image in images.items():
        path = folder / f'{name}_{number:05}.jpg'
        if not mmcv.imwrite(np.ascontiguousarray(image), str(path)):
            raise OSError(f'{path}: cannot be written; the disk may be full')


def remove_leftovers(folder: Path) -> None:
    """Removes the unfinished files of processes of this machine that are gone."""
    for path in list(folder.glob('.*.partial')):
        host, _, pid = path.name.split('.')[-2].rpartition('-')
        # Elsewhere than on POSIX systems, asking for a process would end it.
        if host == _host() and os.name == 'posix':
            try:
                os.kill(int(pid), 0)
            except ProcessLookupError:
                _remove(path)
            except PermissionError:  # it is somebody else's
                continue


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
