"""A video file as a sequence of sampled, scaled frames."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import mmcv
import numpy as np

from mmtal_mts.structures.timebase import num_sampled_frames, source_frame_indices

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

    def count(self, num_source_frames: int, source_fps: float) -> int:
        """Counts the sampled frames of a video.

        Args:
            num_source_frames (int): Length of the video in source frames.
            source_fps (float): Its frame rate.

        Returns:
            int: At least 1.
        """
        if self.num_frames is not None:
            return self.num_frames
        return num_sampled_frames(
            self.fps, num_source_frames=num_source_frames, source_fps=source_fps
        )

    def indices(self, num_source_frames: int, source_fps: float) -> np.ndarray:
        """Finds the source frame of each sampled frame, the last of its interval.

        Args:
            num_source_frames (int): Length of the video in source frames.
            source_fps (float): Its frame rate.

        Returns:
            np.ndarray: (M,) int64, not decreasing.
        """
        # Of a fixed number only the ratio of the rates matters.
        rates = (
            (source_fps, self.fps)
            if self.num_frames is None
            else (num_source_frames, self.num_frames)
        )
        count = self.count(num_source_frames, source_fps)
        return source_frame_indices(0, count, *rates, num_source_frames)


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
        self._total = self._reader.num_frames
        if self._total < 1:
            raise VideoReadError(f'{path}: no frames')
        fps = self._reader.fps or annotated_fps
        if fps is None and grid.num_frames is None:
            raise VideoReadError(
                f'{path}: the file does not tell its frame rate; add "fps" to its '
                'entry in the annotation and give the annotation'
            )
        # Without a rate, seconds are only needed for the tolerance at the end.
        self._fps = fps or 25.0
        self._indices = grid.indices(self._total, self._fps)
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
        lacking_s = (unique[-1] - unique[max(found - 1, 0)]) / self._fps
        if not found or lacking_s > length_tolerance_s(self._total / self._fps):
            raise VideoReadError(
                f'{self._path}: damaged or cut off at frame {unique[found]} of '
                f'{self._total}'
            )
        for _ in range(counts[found:].sum()):
            yield image
