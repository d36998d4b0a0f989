"""What happens when in one synthetic video: the actor's script."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from .motions import ACTIONS, CLASSES, Y_HIGH, Y_LOW, Motion, Pose, sample_idle

MIN_ACTION_S, MAX_ACTION_S, MEDIAN_ACTION_S = 0.5, 12.0, 2.5
MIN_GAP_S, MAX_GAP_S = 0.5, 4.0
_ACTION_SPREAD = 0.6  # standard deviation of the logarithm of the length
# The shortest video that still has room for a gap, an action and a gap.
MIN_VIDEO_S = 2 * MIN_GAP_S + MIN_ACTION_S


@dataclass(frozen=True)
class Part:
    """A stretch of the video in which the actor follows one motion.

    Attributes:
        start_s: Start, seconds of the video.
        end_s: End, seconds of the video.
        label: Class name, or None between actions.
        motion: The motion, a function of the seconds since ``start_s``.
    """

    start_s: float
    end_s: float
    label: str | None
    motion: Motion


@dataclass(frozen=True)
class Script:
    """The parts of a video in order: they cover it without gap or overlap."""

    parts: tuple[Part, ...]

    @property
    def actions(self) -> list[Part]:
        """The parts that are actions."""
        return [part for part in self.parts if part.label is not None]

    def poses(self, times_s: np.ndarray) -> Pose:
        """Returns the actor's poses at given times.

        Args:
            times_s: (T,) seconds of the video, ascending.

        Returns:
            A pose whose fields are arrays (T,).
        """
        ends = [part.end_s for part in self.parts[:-1]]
        owner = np.searchsorted(ends, times_s, side='right')
        pieces = [
            part.motion.at(times_s[owner == index] - part.start_s)
            for index, part in enumerate(self.parts)
        ]
        return Pose(*(np.concatenate(field) for field in zip(*pieces)))


def write_script(rng: np.random.Generator, duration_s: float) -> Script:
    """Draws what the actor does during a video.

    Classes come from a reshuffled deck, so that they are balanced. Action
    lengths are log-normal with median ``MEDIAN_ACTION_S``. Boundaries are whole
    milliseconds, so that annotations and motions agree exactly.

    Args:
        rng: Source of randomness.
        duration_s: Length of the video in seconds, at least ``MIN_VIDEO_S``.

    Returns:
        The script.
    """
    pose = Pose(
        float(rng.uniform(0.0, 1.0)),
        float(rng.uniform(Y_LOW + 0.05, Y_HIGH - 0.05)),
        float(rng.uniform(0.0, 1.0)),
    )
    parts: list[Part] = []
    deck: list[str] = []
    now = 0.0

    def append(end_s: float, label: str | None) -> None:
        nonlocal now, pose
        sample = sample_idle if label is None else ACTIONS[label]
        motion = sample(rng, pose, end_s - now)
        parts.append(Part(now, end_s, label, motion))
        pose = Pose(*(float(value) for value in motion.at(end_s - now)))
        now = end_s

    # An action is added while what is left would be too long for a gap.
    while not parts or duration_s - now > MAX_GAP_S:
        last_start = duration_s - MIN_GAP_S - MIN_ACTION_S
        gap = min(MIN_GAP_S + rng.exponential(1.0), MAX_GAP_S)
        start = _floor_ms(min(now + gap, last_start))
        length = MEDIAN_ACTION_S * math.exp(_ACTION_SPREAD * rng.standard_normal())
        length = min(max(length, MIN_ACTION_S), MAX_ACTION_S)
        end = _floor_ms(min(start + length, duration_s - MIN_GAP_S))
        if not deck:
            deck = [str(name) for name in rng.permutation(CLASSES)]
        append(start, None)
        append(max(end, round(start + MIN_ACTION_S, 3)), deck.pop())
    append(duration_s, None)
    return Script(tuple(parts))


def _floor_ms(seconds: float) -> float:
    return math.floor(seconds * 1000.0) / 1000.0
