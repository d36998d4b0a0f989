"""Loading the frames of one window."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Iterator

import mmcv
import numpy as np
from mmaction.registry import TRANSFORMS
from mmcv.transforms import BaseTransform
from mmengine.logging import print_log

from ..frame_times import FrameTimes
from .stored_frames import CHANNELS, ImageFolder, open_array
from .video_readers import BACKENDS, VideoReadError, available_backends, open_video

# Height and width of the grey frames that stand in for an unreadable video.
_BROKEN_SHAPE = (256, 256)


def length_tolerance_s(duration: float) -> float:
    """Returns by how much a source may miss its annotated duration, in seconds.

    Args:
        duration (float): Annotated duration in seconds.

    Returns:
        float: One second, or 2 % of a long video.
    """
    return max(1.0, 0.02 * duration)


@TRANSFORMS.register_module()
class LoadClip(BaseTransform):
    """Reads the frames of one window from a video, a frame folder or an array.

    Sampled frame k of the video is source frame
    ``ceil((k + 1) * source_fps / sample_fps) - 1``, with every backend; where the
    frame rate varies, the last one that begins before ``(k + 1) / sample_fps``
    seconds. Sampled frames after the end of the video are filled with a constant.

    Required Keys:

    - source, source_type, modality, sample_fps, window_offset, clip_len
    - num_sampled_frames, duration
    - source_fps (None: times are those of the file; an array is taken as sampled
      already)
    - annotated_fps (optional, used where the video file does not tell its rate)
    - filename_tmpl, start_index (frame folders)
    - on_bad_video (optional, 'skip' fills up what a short video lacks)
    - broken (optional, True returns constant frames without reading)

    Added Keys:

    - imgs (list of clip_len (H, W, C) uint8 arrays)
    - img_shape, original_shape ((H, W))
    - num_clips (1)
    - frame_inds ((M,) int64 source frames of the frames that are not padding)

    Args:
        backend (str): 'decord', 'pyav', 'opencv', or 'auto': those installed in this
            order, the next one where one cannot read a file.
        num_threads (int): Decoding threads per video. One is best with several data
            loader workers.
        pad_value (int): Value of the frames after the end of the video; 127 is the
            middle of the range.
        max_short_side (int, optional): Scale frames of larger videos down to this
            short side while decoding, which bounds the memory of a window.

    Raises:
        ImportError: If the library of the backend is not installed.
        VideoReadError: If the source cannot be read as needed.
    """

    def __init__(
        self,
        backend: str = 'auto',
        num_threads: int = 1,
        pad_value: int = 127,
        max_short_side: int | None = None,
    ) -> None:
        if backend != 'auto' and backend not in BACKENDS:
            raise ValueError(
                f"backend must be 'auto' or one of {BACKENDS}, got {backend!r}"
            )
        if not 0 <= pad_value <= 255:
            raise ValueError(f'pad_value must be in 0..255, got {pad_value}')
        if max_short_side is not None and max_short_side < 1:
            raise ValueError(f'max_short_side must be positive, got {max_short_side}')
        available = available_backends()
        if backend != 'auto' and backend not in available:
            raise ImportError(
                f'LoadClip(backend={backend!r}): this library is not installed or does '
                f"not import; use 'auto' or one of {available}"
            )
        self.backend = backend
        self.backends = available if backend == 'auto' else [backend]
        self.num_threads = num_threads
        self.pad_value = pad_value
        self.max_short_side = max_short_side
        self._warned: set[str] = set()

    def transform(self, results: dict) -> dict:
        """Adds the frames of the window.

        Args:
            results (dict): One window, see Required Keys.

        Returns:
            dict: The same dict with the Added Keys.
        """
        if results.get('broken'):
            indices = np.zeros(0, dtype=np.int64)
            channels = CHANNELS[results['modality']]
            imgs = [self._pad_frame((*_BROKEN_SHAPE, channels))]
        else:
            read = {
                'video': self._read_video,
                'frames': self._read_frames,
                'npy': self._read_array,
            }[results['source_type']]
            indices, imgs = read(results)
        missing = results['clip_len'] - len(imgs)
        imgs += [self._pad_frame(imgs[0].shape) for _ in range(missing)]
        results['imgs'] = imgs
        results['img_shape'] = results['original_shape'] = imgs[0].shape[:2]
        results['num_clips'] = 1
        results['frame_inds'] = indices
        return results

    def _pad_frame(self, shape: tuple[int, ...]) -> np.ndarray:
        return np.full(shape, self.pad_value, dtype=np.uint8)

    def _plan(self, results: dict, times: FrameTimes) -> np.ndarray:
        """Finds the source frames of the window, and checks that they exist.

        Returns:
            np.ndarray: (M,) int64, M <= clip_len.
        """
        offset = results['window_offset']
        count = min(results['clip_len'], results['num_sampled_frames'] - offset)
        indices = times.indices(offset, count, results['sample_fps'])
        source, duration = results['source'], results['duration']
        tolerance_s = length_tolerance_s(duration)
        num_source_frames, length_s = times.num_frames, times.duration_s
        if abs(length_s - duration) <= tolerance_s:
            return np.minimum(indices, num_source_frames - 1)

        message = (
            f'{source}: holds {num_source_frames} frames at {times.fps:.3f} fps = '
            f'{length_s:.2f} s, but its annotated "duration" is {duration:.2f} s'
        )
        remedy = (
            'correct "duration" in the annotation, or the frame rate if the '
            'frames were extracted at another one'
        )
        available = indices[: np.searchsorted(indices, num_source_frames)]
        beyond = (int(indices[-1]) + 1 - num_source_frames) / times.fps
        if beyond <= tolerance_s:
            self._warn_once(source, f'{message}; {remedy}')
            return np.minimum(indices, num_source_frames - 1)
        if results.get('on_bad_video') == 'skip' and len(available):
            self._warn_once(source, f'{message}; the rest is filled up')
            return available
        raise VideoReadError(
            f'{message}, so the window from sampled frame {offset} '
            f'on cannot be filled; {remedy}.'
        )

    def _warn_once(self, source: str, message: str) -> None:
        if source not in self._warned:
            self._warned.add(source)
            print_log(message, logger='current', level=logging.WARNING)

    # Video files

    def _read_video(self, results: dict) -> tuple[np.ndarray, list[np.ndarray]]:
        failures = []
        for backend in self.backends:
            try:
                return self._read_video_by(backend, results)
            except (MemoryError, VideoReadError):
                raise
            # Each library has exceptions of its own.
            except Exception as err:
                failures.append(f'{backend}: {_one_line(err)}')
        raise VideoReadError(
            f'{results["source"]}: cannot be decoded ({"; ".join(failures)}). Play or '
            're-encode it, for instance by "ffmpeg -i IN -c:v libx264 OUT.mp4", leave '
            "it out of the annotation, or set on_bad_video='skip'."
        )

    def _read_video_by(
        self, backend: str, results: dict
    ) -> tuple[np.ndarray, list[np.ndarray]]:
        reader = open_video(results['source'], backend, self.num_threads)
        if reader.num_frames == 0:
            raise ValueError('no frames')
        if results.get('source_fps'):
            times = FrameTimes(reader.num_frames, results['source_fps'])
        else:
            fallback = results.get('annotated_fps')
            times = reader.times(fallback or reader.num_frames / results['duration'])
        indices = self._plan(results, times)
        unique, inverse = np.unique(indices, return_inverse=True)
        frames = list(self.shrink(reader.read(unique)))
        if len(frames) < len(unique):
            # The file announces frames that it does not hold. A few at its end are
            # common, and repeated; more of them means damage.
            lacking_s = (unique[-1] - unique[max(len(frames) - 1, 0)]) / times.fps
            if not frames or lacking_s > length_tolerance_s(results['duration']):
                raise ValueError(
                    f'damaged or cut off at frame {unique[len(frames)]} of '
                    f'{reader.num_frames}'
                )
            inverse = np.minimum(inverse, len(frames) - 1)
        return indices, [frames[i] for i in inverse]

    def shrink(self, frames: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        """Scales frames down as ``max_short_side`` says.

        Args:
            frames (Iterable[np.ndarray]): (H, W, C) uint8.

        Yields:
            np.ndarray: The frame, smaller or as it was.
        """
        for frame in frames:
            short_side = min(frame.shape[:2])
            if self.max_short_side is not None and short_side > self.max_short_side:
                frame = mmcv.imrescale(
                    frame, self.max_short_side / short_side, interpolation='area'
                )
            yield frame

    # Folders of images and arrays

    def _read_frames(self, results: dict) -> tuple[np.ndarray, list[np.ndarray]]:
        folder = ImageFolder(
            results['source'],
            results['filename_tmpl'],
            results['modality'],
            results['start_index'],
        )
        num_frames = folder.count()
        fps = results.get('source_fps') or num_frames / results['duration']
        indices = self._plan(results, FrameTimes(num_frames, fps))
        return indices, folder.read(indices)

    def _read_array(self, results: dict) -> tuple[np.ndarray, list[np.ndarray]]:
        array = open_array(results['source'], results['modality'])
        fps = results.get('source_fps') or results['sample_fps']
        indices = self._plan(results, FrameTimes(len(array), fps))
        return indices, list(np.asarray(array[indices]))

    def __repr__(self) -> str:
        return (
            f'{self.__class__.__name__}(backend={self.backend!r}, '
            f'num_threads={self.num_threads}, pad_value={self.pad_value}, '
            f'max_short_side={self.max_short_side})'
        )


def _one_line(err: Exception) -> str:
    """Returns the first line of a message without Decord's time and place."""
    line = str(err).strip().split('\n')[0]
    return re.sub(r'\[\d\d:\d\d:\d\d\] \S+ ', '', line) or type(err).__name__
