"""Sliding windows over the sampled frames of a video, in a file or in memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import count, takewhile
from typing import Any, NamedTuple

import numpy as np

from ..structures import Segments, timebase
from .video import Prepare, VideoReader, VideoReadError


class Window(NamedTuple):
    """A stretch of ``clip_len`` sampled frames and the actions in it.

    Attributes:
        offset: First sampled frame.
        segments: (G, 2) sampled frames relative to the offset, clipped to the window.
        indices: (G,) int64, which of the video's actions they are.
    """

    offset: int
    segments: np.ndarray
    indices: np.ndarray


def window_offsets(num_frames: int, clip_len: int, stride: int) -> list[int]:
    """Places windows at a stride, and one flush with the end of the video.

    Args:
        num_frames: Length of the video in sampled frames.
        clip_len: Length of a window in sampled frames.
        stride: Distance of consecutive windows in sampled frames.

    Returns:
        Offsets; [0] for a video not longer than one window.

    Raises:
        ValueError: If an argument is not positive.
    """
    if min(num_frames, clip_len, stride) <= 0:
        raise ValueError(
            f'num_frames={num_frames}, clip_len={clip_len} and stride={stride} must be '
            'positive'
        )
    last = max(num_frames - clip_len, 0)
    return [*range(0, last, stride), last]


def training_windows(
    num_frames: int,
    segments: np.ndarray,
    clip_len: int,
    stride: int,
    keep_ioa: float = 1.0,
    min_ioa: float = 0.5,
    one_based_window: bool = False,
) -> list[Window]:
    """Cuts a video into windows that each hold at least one action.

    A window at offset o covers the continuous time [o, o + clip_len].

    Args:
        num_frames: Length of the video in sampled frames.
        segments: (G, 2) actions in sampled frames.
        clip_len: Length of a window in sampled frames.
        stride: Distance of consecutive windows in sampled frames.
        keep_ioa: A window is kept if it holds at least this fraction of some
            action; 1.0 asks for one whole action.
        min_ioa: Fraction of an action from which on it is an annotation of
            the window; what is out of the window is cut off.
        one_based_window: Reproduce AFSD's windows, which begin one sampled
            frame late: [o + 1, o + clip_len]. An action that begins in the first
            frame of a window is then never whole.

    Returns:
        Kept windows in ascending order.

    Raises:
        ValueError: If a fraction is not in (0, 1].
    """
    for name, value in (('keep_ioa', keep_ioa), ('min_ioa', min_ioa)):
        if not 0 < value <= 1:
            raise ValueError(f'{name} must be in (0, 1], got {value}')
    cut = (
        _cut(offset, segments, clip_len, min_ioa, int(one_based_window))
        for offset in window_offsets(num_frames, clip_len, stride)
    )
    return [window for window, ioa in cut if ioa >= keep_ioa and len(window.indices)]


def _cut(
    offset: int, segments: np.ndarray, clip_len: int, min_ioa: float, first: int = 0
) -> tuple[Window, float]:
    """Returns the window at ``offset`` and the largest fraction of an action in it."""
    segments = np.asarray(segments, dtype=np.float64).reshape(-1, 2)
    lengths = segments[:, 1] - segments[:, 0]
    if not (lengths > 0).all():
        raise ValueError(f'Actions of positive length needed, got {segments.tolist()}')
    clipped = np.clip(segments - offset, first, clip_len)
    ioa = (clipped[:, 1] - clipped[:, 0]) / lengths
    # The difference of shifted numbers may miss the length by an ulp.
    inside = (segments[:, 0] >= offset + first) & (segments[:, 1] <= offset + clip_len)
    ioa[inside] = 1.0
    indices = np.flatnonzero(ioa >= min_ioa)
    return Window(offset, clipped[indices], indices), ioa.max(initial=0.0)


def cut_video(
    facts: dict[str, Any], actions: Segments, test_mode: bool = False, **settings: Any
) -> tuple[list[dict[str, Any]], int]:
    """Makes the items of a data set that belong to one video.

    Args:
        facts: The keys that are the same in the whole video, among them
            ``num_sampled_frames``, ``sample_fps`` and optionally ``grid_start_f``.
        actions: Actions in seconds of the video.
        test_mode: Windows that cover all of the video instead of those that hold an
            action.
        **settings: ``clip_len``, ``stride`` and others of :func:`training_windows`.

    Returns:
        The facts with what is particular to each window (``min_segment_f`` is the
        length of the shortest action in any training window, kept or not, None if
        there is none), and how many of the actions are in a window.
    """
    num_frames, start = facts['num_sampled_frames'], facts.get('grid_start_f', 0)
    # The last, incomplete sampling interval is in no window; an action that ends there
    # ends with the last window.
    segments = timebase.seconds_to_frames(actions.segments, facts['sample_fps']) - start
    segments = np.clip(segments, 0, num_frames)
    valid = segments[:, 1] > segments[:, 0]
    segments, labels = segments[valid], actions.labels[valid]
    clip_len, min_ioa = settings['clip_len'], settings.get('min_ioa', 0.5)
    with_action = training_windows(
        num_frames, segments, **dict(settings, keep_ioa=min_ioa)
    )
    lengths = [float(np.diff(window.segments).min()) for window in with_action]
    if test_mode:
        offsets = window_offsets(num_frames, clip_len, settings['stride'])
        windows = [_cut(o, segments, clip_len, min_ioa)[0] for o in offsets]
    else:
        windows = training_windows(num_frames, segments, **settings)
    items = [
        dict(
            facts,
            window_offset=window.offset + start,
            min_segment_f=min(lengths, default=None),
            gt_segments=window.segments.astype(np.float32),
            gt_labels=labels[window.indices],
        )
        for window in windows
    ]
    return items, len({index for window in windows for index in window.indices})


class ArrayReader(VideoReader):
    """Reads frames that are in memory already, or made one after another.

    Args:
        frames: (H, W, 3) uint8 RGB each; an array (T, H, W, 3) is one possibility, a
            generator another. Of a generator, the frames from the first one of the
            latest call on are held.
        fps: Their rate.

    Attributes:
        num_frames: None until a generator has ended.

    Raises:
        ValueError: If the rate is not positive.
        VideoReadError: If there is no frame.
    """

    path, first_frame_s = 'frames', 0.0

    def __init__(
        self, frames: Sequence[np.ndarray] | Iterable[np.ndarray], fps: float
    ) -> None:
        if not (np.isfinite(fps) and fps > 0):
            raise ValueError(f'fps must be positive, got {fps}')
        self.warnings, self._kept, self.fields, self._container = [], {}, {}, None
        self.fps = fps
        self.num_frames = len(frames) if hasattr(frames, '__len__') else None
        # By number; of a generator those that are held.
        self._images: Any = {} if self.num_frames is None else frames
        self._iterator, self._num_made = iter(frames), 0
        if not self.reaches(0):
            raise VideoReadError('there is no frame')

    @property
    def times(self) -> timebase.FrameTimes:
        """When each frame is shown; of a generator those that were read so far."""
        return timebase.FrameTimes(self.num_frames or self._num_made, self.fps)

    def reaches(self, index: int) -> bool:
        """Whether there is a frame of this number; a generator is read up to it."""
        while self.num_frames is None and self._num_made <= index:
            image = next(self._iterator, None)
            if image is None:
                self.num_frames = self._num_made
            else:
                self._images[self._num_made] = image
                self._num_made += 1
        return self.num_frames is None or index < self.num_frames

    def read(
        self, indices: Sequence[int] | np.ndarray, prepare: Prepare | None = None
    ) -> list[np.ndarray]:
        """See :meth:`.VideoReader.read`."""
        if isinstance(self._images, dict):
            first = min(indices, default=0)
            self._images = {i: x for i, x in self._images.items() if i >= first}
        return super().read(indices, prepare)

    def frames(self) -> Iterator[tuple[int, np.ndarray]]:
        """Yields number and picture of all frames, in order."""
        for index in takewhile(self.reaches, count()):
            yield index, self.read([index])[0]

    def _frame(self, index: int) -> np.ndarray | None:
        if not self.reaches(index):
            return None
        try:
            image = np.asarray(self._images[index])
        except KeyError:
            raise VideoReadError(
                f'frame {index} of a generator cannot be had again; give an array'
            ) from None
        is_rgb = image.ndim == 3 and image.shape[2] == 3 and image.dtype == np.uint8
        if not (is_rgb and image.size):
            raise VideoReadError(
                f'frame {index} is {image.dtype} {image.shape}, but frames must be '
                'uint8 RGB pictures (H, W, 3)'
            )
        return image.view()


def video_windows(
    reader: VideoReader,
    video_id: str,
    *,
    sample_fps: float = 10,
    clip_len: int = 256,
    window_stride: int | None = None,
    num_frames_per_video: int | None = None,
    modality: str = 'RGB',
    frame_size: int | None = None,
    flow_method: str = 'tvl1',
    **more: Any,
) -> Iterator[dict[str, Any]]:
    """Yields the windows of an open video as a data set yields its items.

    Each goes through the test pipeline, whose LoadClip finds the open video in it.
    Pass the windows on in their order: the reader keeps what overlapping ones share.

    Args:
        reader: The video. Where the end of it is not known yet (a generator),
            ``num_sampled_frames`` and ``duration`` count what was read so far.
        video_id: Name of the video.
        sample_fps: As of :class:`~mmtal_mts.datasets.TALDataset`, like all up to
            ``modality``.
        clip_len: Length of a window in sampled frames.
        window_stride: Distance of windows in sampled frames; half a window by default.
        num_frames_per_video: Sample this many frames instead of a common rate.
        modality: 'RGB', or 'Flow' which is computed from the video.
        frame_size: Side in pixels to which frames are scaled first, for configs whose
            data are arrays of frames or flow of that size.
        flow_method: See :func:`~mmtal_mts.datasets.flow.build_flow`.
        **more: Further keys of the items, e.g. ``classes``.

    Yields:
        Items without annotated actions, with the further keys ``reader``,
        ``frame_size`` and ``flow_method``.

    Raises:
        VideoReadError: If ``num_frames_per_video`` is asked of a generator.
    """
    if num_frames_per_video is not None:
        if reader.num_frames is None:
            raise VideoReadError(
                f'{video_id}: the number of frames is not known in advance, but the '
                'config samples a fixed number per video. Remedy: give an array'
            )
        sample_fps = timebase.mean_rate(num_frames_per_video, reader.duration_s)
    stride = window_stride or max(clip_len // 2, 1)

    def item(offset: int, num_frames: int) -> dict[str, Any]:
        return dict(
            video_id=video_id,
            source=reader.path,
            source_type='video',
            source_fps=None,
            annotated_fps=None,
            modality=modality,
            filename_tmpl='',
            start_index=0,
            sample_fps=float(sample_fps),
            duration=reader.duration_s,
            num_sampled_frames=num_frames,
            clip_len=clip_len,
            window_offset=offset,
            min_segment_f=None,
            gt_segments=np.zeros((0, 2), dtype=np.float32),
            gt_labels=np.zeros(0, dtype=np.int64),
            on_bad_video='skip',
            reader=reader,
            frame_size=frame_size,
            flow_method=flow_method,
            **more,
        )

    done = -1
    if reader.num_frames is None:
        # A window is passed on when it is known that there is a frame after it, which
        # its flow needs.
        for offset in count(0, stride):
            beyond = reader.times.indices(offset + clip_len, 1, sample_fps)
            if not reader.reaches(int(beyond[0])):
                break
            yield item(offset, offset + clip_len + 1)
            done = offset
    num_frames = num_frames_per_video or reader.times.count(sample_fps)
    for offset in window_offsets(num_frames, clip_len, stride):
        if offset > done:
            yield item(offset, num_frames)


def complete_frames(
    path: str, times: timebase.FrameTimes, indices: np.ndarray, frames: list[np.ndarray]
) -> list[np.ndarray]:
    """Repeats the last frame where a file lacks a few of the ``indices`` at its end.

    More than a second, or 2 % of the video, is an error.
    """
    found = len(frames)
    if found == len(indices):
        return list(frames)
    num_lacking = int(indices[-1] - indices[found - 1])
    lacking_s = timebase.frames_to_seconds(num_lacking, times.fps)
    if not found or lacking_s > timebase.length_tolerance_s(times.duration_s):
        raise VideoReadError(
            f'{path}: damaged or cut off at frame {indices[found]} of '
            f'{times.num_frames}'
        )
    return [*frames, *frames[-1:] * (len(indices) - found)]
