"""Loading the frames of one window, of one or two streams."""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
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
from ..sources import SourceFinder, read_record
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
@dataclass(eq=False)
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
        scale: (width, height) to which frames are scaled while decoding, exactly as
            ``Resize(scale, keep_ratio=False)`` does it afterwards. Windows of long or
            large videos then fit into memory.

    Raises:
        ValueError: If an argument makes no sense.
        VideoReadError: If the source cannot be read as needed.
    """

    num_threads: int = 1
    pad_value: int = 127
    scale: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.pad_value <= 255:
            raise ValueError(f'pad_value must be in 0..255, got {self.pad_value}')
        if self.scale is not None:
            if len(self.scale) != 2 or min(self.scale) < 1:
                raise ValueError(
                    f'scale must be (width, height) in pixels, got {self.scale}'
                )
            self.scale = tuple(self.scale)
        self._warned: set[str] = set()
        self._frame_size: tuple[int, int] | None = None
        self._reader: Reader | None = None
        self._flow: tuple[tuple, FlowReader] | None = None

    def __getstate__(self) -> dict[str, Any]:
        """What a copy, or another process, gets: everything but the open video."""
        return dict(self.__dict__, _reader=None, _flow=None)

    def transform(self, results: dict) -> dict:
        """Adds the frames of the window."""
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

    def _extracted(self, frame: np.ndarray) -> np.ndarray:
        """A frame as an extraction would have stored it."""
        if self._frame_size is None:
            return frame
        if frame.shape[2] == CHANNELS['RGB']:
            return scale_frame(frame, *self._frame_size)
        return mmcv.imresize(frame, self._frame_size)

    def _resize(self, frame: np.ndarray) -> np.ndarray:
        return frame if self.scale is None else mmcv.imresize(frame, self.scale)

    def _prepare(self, frame: np.ndarray) -> np.ndarray:
        return self._resize(self._extracted(frame))

    def _read(self, results: dict) -> tuple[np.ndarray, Images]:
        """Source frames and pictures of the window, without what is filled up."""
        source, fps = results['source'], results.get('source_fps')
        if results['source_type'] == 'video':
            return self._read_video(results, fps)
        if results['source_type'] == 'frames':
            template, start = results['filename_tmpl'], results['start_index']
            folder = ImageFolder(source, template, results['modality'], start)
            count, read = folder.count(), folder.read
            fps = fps or mean_rate(count, results['duration'])
        else:
            array = open_array(source, results['modality'])
            count, read = len(array), lambda indices: np.asarray(array[indices])
            fps = fps or results['sample_fps']
        indices = self._plan(results, FrameTimes(count, fps))
        return indices, [self._resize(frame) for frame in read(indices)]

    def _read_video(
        self, results: dict, fps: float | None
    ) -> tuple[np.ndarray, Images]:
        own = results.get('reader') is not None
        reader = results['reader'] if own else self._open(results)
        times = FrameTimes(reader.num_frames, fps) if fps else reader.times
        indices = self._plan(results, times)
        if results['modality'] == 'Flow':
            frames = self._read_flow(results, reader, times, indices)
        else:
            frames = reader.read(indices, self._prepare)
        try:
            # The end of a file may lack a few frames; more is damage.
            frames = complete_frames(frames, indices, times, results['source'])
        except VideoReadError as error:
            if not own and not (frames and results.get('on_bad_video') == 'skip'):
                raise VideoReadError(f'{error}{_LEAVE_OUT}') from error
        return indices[: len(frames)], frames

    def _open(self, results: dict) -> Reader:
        """The file of the item, which stays open."""
        source = results['source']
        if self._reader is None or self._reader.path != source:
            self._reader = self._flow = None
            fps = results.get('annotated_fps')
            try:
                self._reader = VideoReader(source, self.num_threads, fps)
            except VideoReadError as error:
                raise VideoReadError(f'{error}{_LEAVE_OUT}') from error
        return self._reader

    def _plan(self, results: dict, times: FrameTimes) -> np.ndarray:
        """Finds the (M,) source frames of the window, and checks that they exist."""
        offset = results['window_offset']
        count = min(results['clip_len'], results['num_sampled_frames'] - offset)
        indices = times.indices(offset, count, results['sample_fps'])
        source, duration = results['source'], results['duration']
        tolerance_s, end = length_tolerance_s(duration), times.num_frames
        # The duration of an open video is its own.
        own = results.get('reader') is not None
        if not own and abs(times.duration_s - duration) > tolerance_s:
            message = (
                f'{source}: holds {end} frames at {times.fps:.3f} fps = '
                f'{times.duration_s:.2f} s, but its annotated "duration" is '
                f'{duration:.2f} s'
            )
            remedy = (
                'correct "duration" in the annotation, or the frame rate if the '
                'frames were extracted at another one'
            )
            available = indices[: np.searchsorted(indices, end)]
            beyond = int(indices[-1]) + 1 - end
            if frames_to_seconds(beyond, times.fps) <= tolerance_s:
                self._warn_once(source, f'{message}; {remedy}')
            elif results.get('on_bad_video') == 'skip' and len(available):
                self._warn_once(source, f'{message}; the rest is filled up')
                return available
            else:
                raise VideoReadError(
                    f'{message}, so the window from sampled frame {offset} on cannot '
                    f'be filled; {remedy}.'
                )
        return np.minimum(indices, end - 1)

    def _warn_once(self, source: str, message: str) -> None:
        if source not in self._warned:
            self._warned.add(source)
            print_log(message, logger='current', level=logging.WARNING)

    def _read_flow(
        self, results: dict, reader: Reader, times: FrameTimes, indices: np.ndarray
    ) -> Images:
        """Flow from each sampled frame to the next; the last field is repeated."""
        method = results.get('flow_method', 'tvl1')
        key = (reader, method, self._frame_size)
        if self._flow is None or self._flow[0] != key:
            self._flow = key, FlowReader(reader, method, prepare=self._extracted)
        flow = self._flow[1]
        last = max(results['num_sampled_frames'] - 2, 0)
        numbers = np.arange(len(indices)) + results['window_offset']
        numbers = np.minimum(numbers, last)  # k: the field from frame k to frame k + 1
        first = int(numbers[0])
        count = int(numbers[-1]) - first + 2
        sources = times.indices(first, count, results['sample_fps'])
        sources = np.minimum(sources, times.num_frames - 1)
        if results['num_sampled_frames'] == 1:
            fields = flow.still(int(indices[0]))
        else:
            places = numbers - first
            fields = flow.read(sources[places], sources[places + 1])
        return [self._resize(field) for field in fields]


@TRANSFORMS.register_module()
class AppendClip(BaseTransform):
    """Loads the window from a second source and appends its channels to the first.

    Comes after LoadClip, and after a Resize if the first source is of another size;
    crops that follow cut both alike. Where LoadClip reads an open video, the second
    source is the optical flow of that video, at the size of the frames so far.

    Required Keys: those of :class:`LoadClip`, and imgs (list of (H, W, C) arrays).

    Modified Keys: imgs (list of (H, W, C + C2) arrays).

    Args:
        folder: Folder of the second sources.
        data_root: Root of ``folder``.
        source_type: 'npy', 'frames' or 'video'.
        modality: 'Flow' or 'RGB'.
        file_tmpl: See :class:`~mmtal_mts.datasets.TALDataset`.
        filename_tmpl: Name of an image in a frame folder.
        start_index: Number of the first image in a frame folder.
        source_fps: Frame rate of all second sources. None takes that of a video file
            or of the extraction, else frames that are sampled already.
        **load: Settings of :class:`LoadClip`.

    Raises:
        ValueError: If an argument makes no sense, or the sizes differ.
        VideoReadError: If the second source is missing or unreadable.
    """

    def __init__(
        self,
        folder: str,
        data_root: str = '',
        source_type: str = 'npy',
        modality: str = 'Flow',
        file_tmpl: str | None = None,
        filename_tmpl: str = '{}_{:05}.jpg',
        start_index: int = 1,
        source_fps: float | None = None,
        **load: Any,
    ) -> None:
        if modality not in CHANNELS:
            raise ValueError(
                f'modality must be one of {tuple(CHANNELS)}, got {modality!r}'
            )
        folder = os.path.join(data_root, folder)
        self.finder = SourceFinder(folder, source_type, file_tmpl)
        self.record = None if source_type == 'video' else read_record(folder)
        self.source_fps = source_fps
        self.source = dict(
            source_type=source_type,
            modality=modality,
            filename_tmpl=filename_tmpl,
            start_index=start_index,
        )
        self.load = LoadClip(**load)

    def transform(self, results: dict) -> dict:
        """Appends the second clip."""
        size = results['imgs'][0].shape[:2]
        second = self.load(dict(results, **self._source(results, size)))
        own_size = second['imgs'][0].shape[:2]
        if results.get('broken'):
            second['imgs'] = [
                np.resize(img, (*size, img.shape[2])) for img in second['imgs']
            ]
        elif size != own_size:
            raise ValueError(
                f'video {results["video_id"]}: frames are {size}, those of '
                f'{second["source"]} are {own_size} (height, width). Put a Resize to '
                f'{own_size} before AppendClip, or extract at the other size'
            )
        results['imgs'] = [
            np.concatenate(pair, axis=2)
            for pair in zip(results['imgs'], second['imgs'], strict=True)
        ]
        return results

    def _source(self, results: dict, size: tuple[int, int]) -> dict[str, Any]:
        """Where the second clip comes from."""
        if results.get('reader') is not None:
            streams = results['modality'], self.source['modality']
            if streams != ('RGB', 'Flow'):
                raise ValueError(
                    f'streams {" and ".join(streams)} cannot be made from a video; RGB '
                    'and Flow can'
                )
            return dict(modality='Flow', frame_size=size[::-1])
        video_id = results['video_id']
        source = self.finder.find(video_id)
        if source is None:
            raise VideoReadError(
                f'{self.finder.expected(video_id)}: missing second source of video '
                f'{video_id}'
            )
        source_fps = self.source_fps
        if source_fps is None and self.source['source_type'] != 'video':
            source_fps = results['sample_fps']
            if self.record is not None:
                source_fps = self.record.rate(results['duration'])
        return dict(self.source, source=source, source_fps=source_fps)

    def __repr__(self) -> str:
        settings = dict(self.source, source_fps=self.source_fps)
        return f'{self.__class__.__name__}({self.finder.folder!r}, {settings})'
