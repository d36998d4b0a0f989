"""What happens in one synthetic video: motions, and the script that strings them.

An actor has a pose: where it is and how large it appears. Every motion maps the seconds
since it began to a pose and begins at the pose the actor already has, so nothing jumps
where an action starts or ends. The world is a cylinder: ``x`` wraps around at the frame
edge, and the apparent size wraps around in the same way while growing. Both therefore
stay (nearly) uniformly distributed whatever the actor does, and a single frame says
little about the class.

Lengths are fractions of the frame width, times are seconds.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np

Values = float | np.ndarray

MIN_ACTION_S, MAX_ACTION_S, MEDIAN_ACTION_S = 0.5, 12.0, 2.5
MIN_GAP_S, MAX_GAP_S = 0.5, 4.0
_ACTION_SPREAD = 0.6  # standard deviation of the logarithm of the length
# The shortest video that still has room for a gap, an action and a gap.
MIN_VIDEO_S = 2 * MIN_GAP_S + MIN_ACTION_S

# The band the actor's centre stays in vertically: a whole actor fits there.
Y_LOW, Y_HIGH = 0.22, 0.78


class Pose(NamedTuple):
    """Where the actor is; fields are numbers, or arrays over time."""

    x: Values  # horizontal centre in [0, 1), a fraction of the frame width
    y: Values  # vertical centre in [Y_LOW, Y_HIGH]
    level: Values  # size in [0, 1]: the radius is ``smallest * ratio ** level``


# Maps the seconds since the motion began, a number or an array, to a pose.
Motion = Callable[[Values], Pose]


def _pose(
    start: Pose,
    t: Values,
    shift_x: Values = 0.0,
    shift_y: Values = 0.0,
    level: Values | None = None,
) -> Pose:
    """The start pose, shifted, or of another size; as many values as ``t`` has."""
    still = 0.0 * t
    if level is None:
        level = start.level + still
    x, y = start.x + shift_x + still, start.y + shift_y + still
    return Pose(np.mod(x, 1.0), y, level)


def _idle(rng: np.random.Generator, start: Pose, duration: float) -> Motion:
    """Standing still with a slight drift, never out of the band of ``y``."""
    drift_x, drift_y = rng.uniform(-0.012, 0.012, size=2)
    low, high = (Y_LOW - start.y) / duration, (Y_HIGH - start.y) / duration
    drift_y = min(max(drift_y, low), high)
    return lambda t: _pose(start, t, drift_x * t, drift_y * t)


def _move(
    rng: np.random.Generator, start: Pose, duration: float, *, sign: float
) -> Motion:
    """Horizontal motion at constant speed; a negative sign is to the left."""
    # 0.3 widths per second for half a second still is a visible step.
    velocity = sign * rng.uniform(0.3, 0.85)
    return lambda t: _pose(start, t, velocity * t)


def _circle(rng: np.random.Generator, start: Pose, duration: float) -> Motion:
    """An orbit around a point ``radius`` away from the start."""
    radius = rng.uniform(0.1, 0.2)
    # Short actions turn fast enough to show more than half an orbit.
    period = rng.uniform(0.8, min(2.0, max(0.8, duration)))
    # The orbit's centre, start.y - radius * sin(angle), must be so far inside the
    # band that the whole orbit is: this bounds the sine, on either side of the centre.
    low = math.asin(min(max((start.y - Y_HIGH) / radius + 1.0, -1.0), 1.0))
    high = math.asin(min(max((start.y - Y_LOW) / radius - 1.0, -1.0), 1.0))
    first = rng.uniform(low, high)  # of the start, seen from the centre, radians
    if rng.integers(2):
        first = math.pi - first
    velocity = rng.choice([-1.0, 1.0]) * 2 * math.pi / period  # radians per second

    def motion(t: Values) -> Pose:
        angle = first + velocity * t
        shift_x = radius * (np.cos(angle) - math.cos(first))
        return _pose(start, t, shift_x, radius * (np.sin(angle) - math.sin(first)))

    return motion


def _shake(rng: np.random.Generator, start: Pose, duration: float) -> Motion:
    """A fast small oscillation along one axis through the start."""
    # At most 4 Hz: sampling at 10 fps cannot show more than 5 Hz (Nyquist).
    frequency = rng.uniform(2.0, 4.0)
    amplitude = rng.uniform(0.05, 0.1)
    axis = rng.uniform(0.0, math.pi)
    # Near the band's edge the axis is tilted towards the horizontal.
    y = min(amplitude * math.sin(axis), start.y - Y_LOW, Y_HIGH - start.y)
    x = math.copysign(math.sqrt(amplitude**2 - y**2), math.cos(axis))

    def motion(t: Values) -> Pose:
        swing = np.sin(2 * math.pi * frequency * t)
        return _pose(start, t, x * swing, y * swing)

    return motion


def _grow(rng: np.random.Generator, start: Pose, duration: float) -> Motion:
    """A sawtooth: steady growth, and a snap from the largest to the smallest."""
    # Short actions still grow through at least half of the range of sizes.
    period = min(rng.uniform(1.0, 2.0), 2.0 * duration)
    return lambda t: _pose(start, t, level=np.mod(start.level + t / period, 1.0))


def _approach_leave(rng: np.random.Generator, start: Pose, duration: float) -> Motion:
    """A smooth swell and shrink between the smallest and the largest size."""
    # At most 2 s, so that every second shows a turn, which growth never has;
    # short actions show at least one whole cycle.
    period = min(rng.uniform(1.0, 2.0), duration)
    phase = math.acos(min(max(1.0 - 2.0 * start.level, -1.0), 1.0))
    if not rng.integers(2):  # shrinks first
        phase = -phase

    def motion(t: Values) -> Pose:
        swell = 0.5 - 0.5 * np.cos(phase + 2 * math.pi * t / period)
        return _pose(start, t, level=swell)

    return motion


# Class name -> function(rng, start pose, duration in seconds) -> motion.
ACTIONS: dict[str, Callable[..., Motion]] = {
    'move_left': partial(_move, sign=-1.0),
    'move_right': partial(_move, sign=1.0),
    'circle': _circle,
    'shake': _shake,
    'grow': _grow,
    'approach_leave': _approach_leave,
}
CLASSES: tuple[str, ...] = tuple(ACTIONS)


@dataclass(frozen=True)
class Part:
    """A stretch of the video in which the actor follows one motion."""

    start_s: float
    end_s: float
    label: str | None  # class name, or None between actions
    motion: Motion  # of the seconds since start_s


@dataclass(frozen=True)
class Script:
    """The parts of a video in order: they cover it without gap or overlap."""

    parts: tuple[Part, ...]

    @property
    def actions(self) -> list[Part]:
        """The parts that are actions."""
        return [part for part in self.parts if part.label is not None]

    def poses(self, times_s: np.ndarray) -> Pose:
        """The actor's poses, fields (T,), at (T,) ascending seconds of the video."""
        ends = [part.end_s for part in self.parts[:-1]]
        owner = np.searchsorted(ends, times_s, side='right')
        pieces = [
            part.motion(times_s[owner == index] - part.start_s)
            for index, part in enumerate(self.parts)
        ]
        return Pose(*(np.concatenate(field) for field in zip(*pieces, strict=True)))


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
        sample = _idle if label is None else ACTIONS[label]
        motion = sample(rng, pose, end_s - now)
        parts.append(Part(now, end_s, label, motion))
        pose = Pose(*(float(value) for value in motion(end_s - now)))
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
