"""Sliding windows over the sampled frames of a video."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass
class Window:
    """A stretch of ``clip_len`` sampled frames and the actions in it.

    Attributes:
        offset (int): First sampled frame.
        segments (np.ndarray): (G, 2) sampled frames relative to the offset, clipped
            to the window.
        indices (np.ndarray): (G,) int64, which of the video's actions they are.
    """

    offset: int
    segments: np.ndarray
    indices: np.ndarray


def window_offsets(num_frames: int, clip_len: int, stride: int) -> list[int]:
    """Places windows at a stride, and one flush with the end of the video.

    Args:
        num_frames (int): Length of the video in sampled frames.
        clip_len (int): Length of a window in sampled frames.
        stride (int): Distance of consecutive windows in sampled frames.

    Returns:
        list[int]: Offsets; [0] for a video not longer than one window.

    Raises:
        ValueError: If an argument is not positive.
    """
    for name, value in (
        ('num_frames', num_frames),
        ('clip_len', clip_len),
        ('stride', stride),
    ):
        if value <= 0:
            raise ValueError(f'{name} must be positive, got {value}')
    last = num_frames - clip_len
    if last <= 0:
        return [0]
    offsets = list(range(0, last + 1, stride))
    if offsets[-1] != last:
        offsets.append(last)
    return offsets


def testing_windows(
    num_frames: int,
    segments: np.ndarray,
    clip_len: int,
    stride: int,
    min_ioa: float = 0.5,
) -> list[Window]:
    """Cuts a video into windows that cover all of it.

    Args:
        num_frames (int): Length of the video in sampled frames.
        segments (np.ndarray): (G, 2) actions in sampled frames.
        clip_len (int): Length of a window in sampled frames.
        stride (int): Distance of consecutive windows in sampled frames.
        min_ioa (float): An action belongs to a window that holds at least this
            fraction of it.

    Returns:
        list[Window]: All windows, also those without an action.
    """
    return [
        _cut(offset, segments, clip_len, min_ioa)[0]
        for offset in window_offsets(num_frames, clip_len, stride)
    ]


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
        num_frames (int): Length of the video in sampled frames.
        segments (np.ndarray): (G, 2) actions in sampled frames.
        clip_len (int): Length of a window in sampled frames.
        stride (int): Distance of consecutive windows in sampled frames.
        keep_ioa (float): A window is kept if it holds at least this fraction of some
            action; 1.0 asks for one whole action.
        min_ioa (float): Fraction of an action from which on it is an annotation of
            the window; what is out of the window is cut off.
        one_based_window (bool): Reproduce AFSD's windows, which begin one sampled
            frame late: [o + 1, o + clip_len]. An action that begins in the first
            frame of a window is then never whole.

    Returns:
        list[Window]: Kept windows in ascending order.

    Raises:
        ValueError: If a fraction is not in (0, 1].
    """
    for name, value in (('keep_ioa', keep_ioa), ('min_ioa', min_ioa)):
        if not 0 < value <= 1:
            raise ValueError(f'{name} must be in (0, 1], got {value}')
    first = 1 if one_based_window else 0
    windows = []
    for offset in window_offsets(num_frames, clip_len, stride):
        window, best_ioa = _cut(offset, segments, clip_len, min_ioa, first)
        if best_ioa >= keep_ioa and len(window.indices):
            windows.append(window)
    return windows


def shortest_action(
    num_frames: int,
    segments: np.ndarray,
    clip_len: int,
    stride: int,
    min_ioa: float = 0.5,
    one_based_window: bool = False,
) -> float | None:
    """Length of the shortest action in any training window, kept or not.

    Args:
        num_frames (int): Length of the video in sampled frames.
        segments (np.ndarray): (G, 2) actions in sampled frames.
        clip_len (int): Length of a window in sampled frames.
        stride (int): Distance of consecutive windows in sampled frames.
        min_ioa (float): See :func:`training_windows`.
        one_based_window (bool): See :func:`training_windows`.

    Returns:
        float | None: Sampled frames inside the window; None if no window has an action.
    """
    windows = training_windows(
        num_frames, segments, clip_len, stride, min_ioa, min_ioa, one_based_window
    )
    lengths = [float(np.diff(window.segments).min()) for window in windows]
    return min(lengths, default=None)


def _cut(
    offset: int, segments: np.ndarray, clip_len: int, min_ioa: float, first: int = 0
):
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
    window = Window(offset, clipped[indices], indices.astype(np.int64))
    return window, ioa.max(initial=0.0)
