"""A video file as a sequence of sampled, scaled frames."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import mmcv
import numpy as np

from mmtal_mts.structures.timebase import source_frame_indices

from ..frame_times import FrameTimes
from ..transforms.loading import length_tolerance_s
from ..transforms.video_readers import VideoReadError, open_video


@dataclass(frozen=True)
class SamplingGrid:
    """Which frames of a video are taken: a rate, or a number whatever its length.

    Attributes:
        fps (float, optional): Sampled frames per second.
        num_frames (int, optional): Sampled frames per video; a video of fewer frames
            has some of them repeated. Exactly one of both is given.
    """

    fps: float | None = 10.0
    num_frames: int | None = None

    def __post_init__(self) -> None:
        if (self.fps is None) == (self.num_frames is None):
            raise ValueError(
                f'give either fps or num_frames, got fps={self.fps} and '
                f'num_frames={self.num_frames}'
            )
        value = self.fps if self.num_frames is None else self.num_frames
        if not (np.isfinite(value) and value > 0):
            raise ValueError(f'fps and num_frames must be positive, got {value}')

    def count(self, times: FrameTimes) -> int:
        """Counts the sampled frames of a video.

        Args:
            times (FrameTimes): Its frames.

        Returns:
            int: At least 1.
        """
        if self.num_frames is not None:
            return self.num_frames
        return times.count(self.fps)

    def indices(self, times: FrameTimes) -> np.ndarray:
        """Finds the source frame of each sampled frame, the last of its interval.

        Args:
            times (FrameTimes): The frames of the video.

        Returns:
            np.ndarray: (M,) int64, not decreasing.
        """
        count = self.count(times)
        if self.num_frames is None:
            indices = times.indices(0, count, self.fps)
        elif times.starts_s is None:
            # Of a constant rate only its ratio to the other one matters.
            indices = source_frame_indices(0, count, times.num_frames, count)
        else:
            indices = times.indices(0, count, count / times.duration_s)
        return np.minimum(indices, times.num_frames - 1)


def scale_frame(frame: np.ndarray, width: int, height: int) -> np.ndarray:
    """Scales a frame, bicubic with antialiasing, as the published arrays were made.

    Args:
        frame (np.ndarray): (H, W, 3) uint8.
        width (int): Pixels.
        height (int): Pixels.

    Returns:
        np.ndarray: (height, width, 3) uint8.
    """
    return mmcv.imresize(
        frame, (width, height), interpolation='bicubic', backend='pillow'
    )


class SampledVideo:
    """The sampled frames of a video file, scaled to a square.

    Args:
        path (str): Video file.
        grid (SamplingGrid): Which frames.
        side (int): Height and width of the frames; the aspect ratio is not kept.
        backend (str): 'decord', 'pyav' or 'opencv'.
        annotated_fps (float, optional): Frame rate where the file does not tell its
            own.

    Attributes:
        num_frames (int): Number of sampled frames.

    Raises:
        VideoReadError: If the file has no frames or no known rate. The libraries
            raise exceptions of their own if they cannot read it.
    """

    def __init__(
        self,
        path: str,
        grid: SamplingGrid,
        side: int,
        backend: str,
        annotated_fps: float | None = None,
    ) -> None:
        self._reader = open_video(path, backend)
        self._path = path
        self._side = side
        if self._reader.num_frames < 1:
            raise VideoReadError(f'{path}: no frames')
        times = self._reader.times(annotated_fps)
        if times is None and grid.num_frames is None:
            raise VideoReadError(
                f'{path}: the file does not tell its frame rate; add "fps" to its '
                'entry in the annotation and give the annotation'
            )
        # Without a rate, seconds are only needed for the tolerance at the end.
        self._times = times or FrameTimes(self._reader.num_frames, 25.0)
        self._indices = grid.indices(self._times)
        self.num_frames = len(self._indices)

    def __iter__(self) -> Iterator[np.ndarray]:
        """Yields ``num_frames`` (side, side, 3) uint8 RGB frames.

        A few frames that the file announces at its end but does not hold are
        replaced by the last one.

        Raises:
            VideoReadError: If more of them are missing.
        """
        unique, counts = np.unique(self._indices, return_counts=True)
        found = 0
        for frame in self._reader.read(unique):
            image = scale_frame(frame, self._side, self._side)
            for _ in range(counts[found]):
                yield image
            found += 1
        if found == len(unique):
            return
        lacking_s = (unique[-1] - unique[max(found - 1, 0)]) / self._times.fps
        if not found or lacking_s > length_tolerance_s(self._times.duration_s):
            raise VideoReadError(
                f'{self._path}: damaged or cut off at frame {unique[found]} of '
                f'{self._times.num_frames}'
            )
        for _ in range(counts[found:].sum()):
            yield image
