"""Loading the frames of one window."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import mmcv
import numpy as np
from mmaction.registry import TRANSFORMS
from mmcv.transforms import BaseTransform
from mmengine.logging import print_log

from ...structures.timebase import (
    FrameTimes,
    frames_to_seconds,
    length_tolerance_s,
    mean_rate,
)
from ..flow import FlowReader, scale_frame
from ..stored import CHANNELS, ImageFolder, open_array
from ..video import ArrayReader, VideoReader, VideoReadError
from ..video_file import complete_frames

Images = list[np.ndarray]
Reader = VideoReader | ArrayReader

# Height and width of the grey frames that stand in for an unreadable video.
_BROKEN_SHAPE = (256, 256)
_LEAVE_OUT = (
    ". Leave the video out of the annotation, or set on_bad_video='skip' in the data "
    'set'
)


@TRANSFORMS.register_module()
class LoadClip(BaseTransform):
    """Reads the frames of one window from a video, a frame folder or an array.

    Sampled frame k of the video is source frame
    ``ceil((k + 1) * source_fps / sample_fps) - 1``; where the frame rate varies, the
    last one that begins before ``(k + 1) / sample_fps`` seconds. Sampled frames after
    the end of the video are filled with a constant.

    A video stays open until another one is asked for, and the frames that overlapping
    windows share are decoded and scaled once. Its optical flow is computed between
    sampled frames, as an extraction stores it.

    Required Keys:

    - source, source_type, modality, sample_fps, window_offset, clip_len
    - num_sampled_frames, duration
    - source_fps (None: times are those of the file; an array is taken as sampled
      already)
    - annotated_fps (optional, used where the video file does not tell its rate)
    - filename_tmpl, start_index (frame folders)
    - on_bad_video (optional, 'skip' fills up what a short video lacks)
    - broken (optional, True returns constant frames without reading)
    - reader (optional, an open video that is read instead of the source)
    - frame_size (optional, pixels or (width, height) to which an extraction would have
      scaled the frames of the video), flow_method (optional)

    Added Keys:

    - imgs (list of clip_len (H, W, C) uint8 arrays, not writable)
    - img_shape, original_shape ((H, W))
    - num_clips (1)
    - frame_inds ((M,) int64 source frames of the frames that are not padding)

    Args:
        num_threads: Decoding threads per video. One is best with several data loader
            workers.
        pad_value: Value of the frames after the end of the video; 127 is the middle of
            the range.
        max_short_side: Scale frames of larger videos down to this short side while
            decoding.
        scale: (width, height) to which frames are scaled while decoding, exactly as
            ``Resize(scale, keep_ratio=False)`` does it afterwards. Windows of long or
            large videos then fit into memory.

    Raises:
        ValueError: If an argument makes no sense.
        VideoReadError: If the source cannot be read as needed.
    """

    def __init__(
        self,
        num_threads: int = 1,
        pad_value: int = 127,
        max_short_side: int | None = None,
        scale: tuple[int, int] | None = None,
    ) -> None:
        if not 0 <= pad_value <= 255:
            raise ValueError(f'pad_value must be in 0..255, got {pad_value}')
        if max_short_side is not None and max_short_side < 1:
            raise ValueError(f'max_short_side must be positive, got {max_short_side}')
        if scale is not None and (len(scale) != 2 or min(scale) < 1):
            raise ValueError(f'scale must be (width, height) in pixels, got {scale}')
        self.num_threads = num_threads
        self.pad_value = pad_value
        self.max_short_side = max_short_side
        self.scale = None if scale is None else tuple(scale)
        self._warned: set[str] = set()
        self._frame_size: tuple[int, int] | None = None
        self._reader: Reader | None = None
        self._flow: FlowReader | None = None

    def __getstate__(self) -> dict[str, Any]:
        """What a copy, or another process, gets: everything but the open video."""
        return dict(self.__dict__, _reader=None, _flow=None)

    def transform(self, results: dict) -> dict:
        """Adds the frames of the window.

        Args:
            results: One window, see Required Keys.

        Returns:
            The same dict with the Added Keys.
        """
        size = results.get('frame_size')
        self._frame_size = (size, size) if isinstance(size, int) else size
        indices, imgs = np.zeros(0, dtype=np.int64), []
        if not results.get('broken'):
            indices, imgs = self._read(results)
        if not imgs:
            channels = CHANNELS[results['modality']]
            frame = self._filler((*_BROKEN_SHAPE, channels))
            imgs = [self._resize(self._extracted(frame))]
        shapes = {img.shape for img in imgs}
        if len(shapes) > 1:
            raise VideoReadError(
                f'{results["source"]}: the pictures of a window differ in size '
                f'({sorted(shapes)}). Remedy: LoadClip(scale=(width, height))'
            )
        missing = results['clip_len'] - len(imgs)
        results['imgs'] = imgs + [self._filler(imgs[0].shape)] * missing
        results['img_shape'] = results['original_shape'] = imgs[0].shape[:2]
        results['num_clips'] = 1
        results['frame_inds'] = indices
        return results

    def _filler(self, shape: tuple[int, ...]) -> np.ndarray:
        return np.full(shape, self.pad_value, dtype=np.uint8)

    # Scaling

    def _extracted(self, frame: np.ndarray) -> np.ndarray:
        """A frame as an extraction would have stored it."""
        short_side = min(frame.shape[:2])
        if self.max_short_side is not None and short_side > self.max_short_side:
            factor = self.max_short_side / short_side
            frame = mmcv.imrescale(frame, factor, interpolation='area')
        if self._frame_size is not None:
            if frame.shape[2] == CHANNELS['RGB']:
                frame = scale_frame(frame, *self._frame_size)
            else:
                frame = mmcv.imresize(frame, self._frame_size)
        return frame

    def _resize(self, frame: np.ndarray) -> np.ndarray:
        return frame if self.scale is None else mmcv.imresize(frame, self.scale)

    def _prepare(self, frame: np.ndarray) -> np.ndarray:
        return self._resize(self._extracted(frame))

    # Reading

    def _read(self, results: dict) -> tuple[np.ndarray, Images]:
        """Source frames and pictures of the window, without what is filled up."""
        source, kind = results['source'], results['source_type']
        fps = results.get('source_fps')
        read: Callable[[np.ndarray], Images]
        if kind == 'video':
            reader = self._open(results)
            times = FrameTimes(reader.num_frames, fps) if fps else reader.times
            if results['modality'] == 'Flow':
                return self._read_flow(results, reader, times)
            indices = self._plan(results, times)
            frames = reader.read(indices, self._prepare)
            return self._complete(results, times, indices, frames)
        if kind == 'frames':
            folder = ImageFolder(
                *(source, results['filename_tmpl']),
                *(results['modality'], results['start_index']),
            )
            count, read = folder.count(), folder.read
            times = FrameTimes(count, fps or mean_rate(count, results['duration']))
        else:
            array = open_array(source, results['modality'])
            times = FrameTimes(len(array), fps or results['sample_fps'])

            def read(indices: np.ndarray) -> Images:
                return list(np.asarray(array[indices]))

        indices = self._plan(results, times)
        return indices, [self._resize(frame) for frame in read(indices)]

    def _open(self, results: dict) -> Reader:
        """The open video of the item, or the file, which stays open."""
        if results.get('reader') is not None:
            return results['reader']
        source = results['source']
        if self._reader is None or self._reader.path != source:
            self._reader = self._flow = None
            try:
                self._reader = VideoReader(
                    source, self.num_threads, results.get('annotated_fps')
                )
            except VideoReadError as error:
                raise VideoReadError(f'{error}{_LEAVE_OUT}') from error
        return self._reader

    def _plan(self, results: dict, times: FrameTimes) -> np.ndarray:
        """Finds the source frames of the window, and checks that they exist.

        Returns:
            (M,) int64, M <= clip_len.
        """
        offset = results['window_offset']
        count = min(results['clip_len'], results['num_sampled_frames'] - offset)
        indices = times.indices(offset, count, results['sample_fps'])
        source, duration = results['source'], results['duration']
        tolerance_s = length_tolerance_s(duration)
        num_source_frames, length_s = times.num_frames, times.duration_s
        # The duration of an open video is its own.
        own = results.get('reader') is not None
        if own or abs(length_s - duration) <= tolerance_s:
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
        beyond = int(indices[-1]) + 1 - num_source_frames
        if frames_to_seconds(beyond, times.fps) <= tolerance_s:
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

    def _complete(
        self, results: dict, times: FrameTimes, indices: np.ndarray, frames: Images
    ) -> tuple[np.ndarray, Images]:
        """Fills up the end of a file that lacks a few frames; more is damage."""
        try:
            frames = complete_frames(frames, indices, times, results['source'])
        except VideoReadError as error:
            own = results.get('reader') is not None
            if not own and not (frames and results.get('on_bad_video') == 'skip'):
                raise VideoReadError(f'{error}{_LEAVE_OUT}') from error
        return indices[: len(frames)], frames

    def _read_flow(
        self, results: dict, reader: Reader, times: FrameTimes
    ) -> tuple[np.ndarray, Images]:
        """Flow from each sampled frame to the next; the last field is repeated."""
        method = results.get('flow_method', 'tvl1')
        key = (reader, method, self._frame_size)
        if self._flow is None or self._flow_key != key:
            self._flow = FlowReader(reader, method, prepare=self._extracted)
            self._flow_key = key
        indices = self._plan(results, times)
        last = max(results['num_sampled_frames'] - 2, 0)
        numbers = np.arange(len(indices)) + results['window_offset']
        numbers = np.minimum(numbers, last)  # k: the field from frame k to frame k + 1
        first = int(numbers[0])
        count = int(numbers[-1]) - first + 2
        sources = times.indices(first, count, results['sample_fps'])
        sources = np.minimum(sources, times.num_frames - 1)
        if results['num_sampled_frames'] == 1:
            fields = self._flow.still(int(indices[0]))
        else:
            places = numbers - first
            fields = self._flow.read(sources[places], sources[places + 1])
        fields = [self._resize(field) for field in fields]
        return self._complete(results, times, indices, fields)

    def __repr__(self) -> str:
        return (
            f'{self.__class__.__name__}(num_threads={self.num_threads}, '
            f'pad_value={self.pad_value}, max_short_side={self.max_short_side}, '
            f'scale={self.scale})'
        )
