"""Loading the frames of one window, of one or two streams."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import mmcv
import numpy as np
from mmaction.registry import TRANSFORMS
from mmcv.transforms import BaseTransform
from mmengine.logging import print_log

from ...structures import timebase
from ..flow import read_flow, scale_frame
from ..sources import SourceFinder, read_record
from ..stored import CHANNELS, open_array, open_images
from ..video import VideoReader, VideoReadError
from ..windows import complete_frames

# Width and height of the grey frames that stand in for an unreadable video.
_BROKEN_SIZE = (256, 256)


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

    - imgs (list of clip_len (H, W, C) uint8 arrays, not writable; padding is float32)
    - img_shape, original_shape ((H, W))
    - num_clips (1)
    - frame_inds ((M,) int64 source frames of the frames that are not padding)

    Args:
        num_threads: Decoding threads per video. One is best with several data loader
            workers.
        pad_value: Value of the frames after the end of the video, or one per channel:
            the mean that the data preprocessor subtracts, so that to the network they
            are exactly 0. Whole numbers make them uint8, as the other frames are.
        scale: (width, height) to which frames are scaled while decoding, exactly as
            ``Resize(scale, keep_ratio=False)`` does it afterwards. Windows of long or
            large videos then fit into memory.

    Raises:
        ValueError: If an argument makes no sense.
        VideoReadError: If the source cannot be read as needed.
    """

    num_threads: int = 1
    pad_value: float | Sequence[float] = 127.5
    scale: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        self._padding = np.atleast_1d(np.float32(self.pad_value))
        if not ((self._padding >= 0) & (self._padding <= 255)).all():
            raise ValueError(f'pad_value must be in 0..255, got {self.pad_value}')
        if (self._padding % 1 == 0).all():
            self._padding = self._padding.astype(np.uint8)
        if self.scale is not None:
            if len(self.scale) != 2 or min(self.scale) < 1:
                raise ValueError(
                    f'scale must be (width, height) in pixels, got {self.scale}'
                )
            self.scale = tuple(self.scale)
        self._warned: set[str] = set()
        self._frame_size: tuple[int, int] | None = None
        self._reader: VideoReader | None = None

    def __getstate__(self) -> dict[str, Any]:
        """What a copy, or another process, gets: everything but the open video."""
        return dict(self.__dict__, _reader=None)

    def transform(self, results: dict) -> dict:
        """Adds the frames of the window."""
        size = results.get('frame_size')
        self._frame_size = (size, size) if isinstance(size, int) else size
        indices, imgs = np.zeros(0, dtype=np.int64), []
        if not results.get('broken'):
            try:
                indices, imgs = self._read(results)
            except VideoReadError as error:
                if results.get('reader') is not None:
                    raise
                raise VideoReadError(
                    f'{str(error).rstrip(".")}. Leave the video out of the annotation, '
                    "or set on_bad_video='skip' in the data set"
                ) from error
        shapes = {img.shape for img in imgs}
        if len(shapes) > 1:
            raise VideoReadError(
                f'{results["source"]}: the pictures of a window differ in size '
                f'({sorted(shapes)}). Remedy: LoadClip(scale=(width, height))'
            )
        width, height = self.scale or self._frame_size or _BROKEN_SIZE
        shape = (height, width, CHANNELS[results['modality']])
        shape = shapes.pop() if shapes else shape
        if len(self._padding) not in (1, shape[2]):
            raise ValueError(
                f'LoadClip: pad_value={self.pad_value} is for other frames than those '
                f'of {results["source"]}, which have {shape[2]} channels. Give one '
                'number, or one per channel'
            )
        filler = np.full(shape, self._padding, self._padding.dtype)
        results['imgs'] = imgs + [filler] * (results['clip_len'] - len(imgs))
        results['img_shape'] = results['original_shape'] = shape[:2]
        results['num_clips'] = 1
        results['frame_inds'] = indices
        return results

    def _extracted(self, frame: np.ndarray) -> np.ndarray:
        """A frame as an extraction would have stored it."""
        size = self._frame_size
        return frame if size is None else scale_frame(frame, *size)

    def _resize(self, frame: np.ndarray) -> np.ndarray:
        return frame if self.scale is None else mmcv.imresize(frame, self.scale)

    def _grey(self, frame: np.ndarray) -> np.ndarray:
        return mmcv.rgb2gray(self._extracted(frame))

    def _prepare(self, frame: np.ndarray) -> np.ndarray:
        return self._resize(self._extracted(frame))

    def _read(self, results: dict) -> tuple[np.ndarray, list[np.ndarray]]:
        """Source frames and pictures of the window, without what is filled up."""
        source, modality = results['source'], results['modality']
        fps, sample_fps = results.get('source_fps'), results['sample_fps']
        if results['source_type'] == 'frames':
            template, start = results['filename_tmpl'], results['start_index']
            count, read = open_images(source, template, modality, start)
            fps = fps or timebase.mean_rate(count, results['duration'])
            times = timebase.FrameTimes(count, fps)
        elif results['source_type'] == 'npy':
            array = open_array(source, modality)
            times = timebase.FrameTimes(len(array), fps or sample_fps)
            read = array.__getitem__
        else:
            reader = results.get('reader') or self._open(results)
            times = timebase.FrameTimes(reader.num_frames, fps) if fps else reader.times
        indices = self._plan(results, times)
        if results['source_type'] != 'video':
            return indices, [self._resize(np.asarray(img)) for img in read(indices)]
        if modality == 'RGB':
            frames = reader.read(indices, self._prepare)
        else:
            sampled = times.indices(0, results['num_sampled_frames'], sample_fps)
            sampled = np.minimum(sampled, times.num_frames - 1)
            place = sampled, results['window_offset'], len(indices)
            method = results.get('flow_method', 'tvl1')
            fields = read_flow(reader, self._grey, *place, method)
            frames = [self._resize(field) for field in fields]
        try:
            # The end of a file may lack a few frames; more is damage.
            frames = complete_frames(source, times, indices, frames)
        except VideoReadError:
            is_partial = frames and results.get('on_bad_video') == 'skip'
            if not is_partial and results.get('reader') is None:
                raise
        return indices[: len(frames)], frames

    def _open(self, results: dict) -> VideoReader:
        """The file of the item, which stays open."""
        source = results['source']
        if self._reader is None or self._reader.path != source:
            self._reader = None
            fps = results.get('annotated_fps')
            self._reader = VideoReader(source, self.num_threads, fps)
        return self._reader

    def _plan(self, results: dict, times: timebase.FrameTimes) -> np.ndarray:
        """Finds the (M,) source frames of the window, and checks that they exist."""
        offset, source = results['window_offset'], results['source']
        count = min(results['clip_len'], results['num_sampled_frames'] - offset)
        indices = times.indices(offset, count, results['sample_fps'])
        duration, end = results['duration'], times.num_frames
        tolerance_s = timebase.length_tolerance_s(duration)
        # The duration of an open video is its own.
        is_file = results.get('reader') is None
        if is_file and abs(times.duration_s - duration) > tolerance_s:
            message = (
                f'{source}: holds {end} frames at {times.fps:.3f} fps = '
                f'{times.duration_s:.2f} s, but its annotated "duration" is '
                f'{duration:.2f} s. Correct it, or the frame rate if the frames were '
                'extracted at another one'
            )
            beyond_s = timebase.frames_to_seconds(int(indices[-1]) + 1 - end, times.fps)
            if beyond_s > tolerance_s:
                indices = indices[: np.searchsorted(indices, end)]
                if results.get('on_bad_video') != 'skip' or not len(indices):
                    raise VideoReadError(
                        f'{message}. The window from sampled frame {offset} on cannot '
                        'be filled'
                    )
            if source not in self._warned:
                self._warned.add(source)
                print_log(message, logger='current', level=logging.WARNING)
        return np.minimum(indices, end - 1)


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
        imgs, own_size = second['imgs'], second['img_shape']
        if results.get('broken'):
            imgs = [np.resize(img, (*size, img.shape[2])) for img in imgs]
        elif size != own_size:
            raise ValueError(
                f'video {results["video_id"]}: frames are {size}, those of '
                f'{second["source"]} are {own_size} (height, width). Put a Resize to '
                f'{own_size} before AppendClip, or extract at the other size'
            )
        pairs = zip(results['imgs'], imgs, strict=True)
        results['imgs'] = [np.concatenate(pair, axis=2) for pair in pairs]
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
        video_id, fps = results['video_id'], self.source_fps
        source = self.finder.find(video_id)
        if source is None:
            raise VideoReadError(
                f'{self.finder.expected(video_id)}: missing second source of video '
                f'{video_id}'
            )
        if fps is None and self.record is not None:
            fps = self.record.rate(results['duration'])
        elif fps is None and self.source['source_type'] != 'video':
            fps = results['sample_fps']
        return dict(self.source, source=source, source_fps=fps)
