"""What a check is made against."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from mmtal_mts.structures.timebase import num_sampled_frames


@dataclass(frozen=True)
class WindowSettings:
    """How a training cuts videos and lays out its pyramid.

    Attributes:
        clip_len (int): Window in sampled frames.
        sample_fps (float): Rate of sampling.
        stride (int): Distance of windows in sampled frames.
        frames_per_video (int, optional): Sample so many frames of every video
            instead of a common rate (ActivityNet).
        one_based_window (bool): AFSD's windows, see
            :func:`~mmtal_mts.datasets.windows.training_windows`.
        first_stride (int): Sampled frames per location of the finest level.
        num_levels (int): Levels, each with half the locations of the one before.
    """

    clip_len: int = 256
    sample_fps: float = 10.0
    stride: int = 30
    frames_per_video: int | None = None
    one_based_window: bool = False
    first_stride: int = 4
    num_levels: int = 6

    def sampling(self, duration: float) -> tuple[float, int]:
        """Returns rate and number of the sampled frames of a video."""
        if self.frames_per_video is not None:
            return self.frames_per_video / duration, self.frames_per_video
        return (
            self.sample_fps,
            num_sampled_frames(self.sample_fps, duration_s=duration),
        )

    @property
    def level_lengths(self) -> list[int]:
        """list[int]: Locations per level of a window, finest first."""
        lengths = [-(-self.clip_len // self.first_stride)]
        while len(lengths) < self.num_levels:
            lengths.append(-(-lengths[-1] // 2))
        return lengths


@dataclass(frozen=True)
class CheckSettings:
    """What to check against.

    Attributes:
        windows (WindowSettings): Of the training.
        classes (Sequence[str], optional): Class names; by default the file's own
            "classes", else its labels.
        subsets (Sequence[str]): Subsets to check; empty: all.
        video_dirs (Sequence[str]): Folders of videos, or of frames that were extracted
            from them; empty does not look at them.
    """

    windows: WindowSettings = field(default_factory=WindowSettings)
    classes: Sequence[str] | None = None
    subsets: Sequence[str] = ()
    video_dirs: Sequence[str] = ()
