"""How the actor of a synthetic video moves, and how the video looks.

The actor has a pose: the centre ``x``, ``y`` in fractions of the frame, and a level of
its apparent size, from 0 to 1. A motion begins at the pose that the actor already has,
so nothing jumps where an action starts or ends. The world is a cylinder: ``x`` wraps
around at the frame edge, and the size wraps around in the same way while growing. Both
therefore stay (nearly) uniformly distributed whatever the actor does, and a single
frame says little about the class.

A scene with context has a lamp in front of everything, at one place of the video. It
shines warm or cold seconds before the actor nods, which makes two classes of one
motion; and it swings to and fro by itself, a class that no other object tells.

Lengths are fractions of the frame width, times are seconds.
"""

from __future__ import annotations

import colorsys
import math
from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

import cv2
import numpy as np

Array, Rng = np.ndarray, np.random.Generator
Values = float | Array
# Maps the seconds since a motion began, (T,) or a number, to poses (3, T) or (3,).
Motion = Callable[[Values], Array]

# The band that the actor's centre stays in: a whole actor fits there.
Y_LOW, Y_HIGH = 0.22, 0.78

_SUBPIXEL_BITS = 4
_TURN = 2 * math.pi
_ARM = math.atan2(0.35, 0.95) / _TURN
# Corners of the outlines: radii, and angles in turns.
_SHAPES = {
    'disc': (np.ones(32), np.arange(32) / 32),
    'square': (np.ones(4), np.arange(4) / 4),
    'triangle': (np.ones(3), np.arange(3) / 3),
    'star': (np.tile([1.0, 0.62], 5), np.arange(10) / 10),
    'hexagon': (np.ones(6), np.arange(6) / 6),
    'cross': (
        np.tile([1.0, 1.0, 0.5], 4),
        (np.arange(4)[:, None] / 4 + np.array([-_ARM, _ARM, 0.125])).ravel(),
    ),
}
# Speeds of the small objects that never perform an action.
_FAST, _SLOW = (0.1, 0.4), (0.02, 0.08)
_DISTRACTORS = dict(line=_FAST, bounce=_FAST, pulse=_SLOW, blink=_SLOW)


def _pose(x: Values, y: Values, level: Values) -> Array:
    return np.array(np.broadcast_arrays(np.mod(x, 1.0), y, level))


def _idle(rng: Rng, pose: Array, duration: float) -> Motion:
    """Standing still with a slight drift, never out of the band of ``y``."""
    x, y, level = pose
    drift_x, drift_y = rng.uniform(-0.012, 0.012, size=2)
    drift_y = np.clip(drift_y, (Y_LOW - y) / duration, (Y_HIGH - y) / duration)
    return lambda t: _pose(x + drift_x * t, y + drift_y * t, level)


def _move(sign: int, rng: Rng, pose: Array, duration: float) -> Motion:
    """Horizontal motion at constant speed; a negative sign is to the left."""
    x, y, level = pose
    # 0.3 widths per second for half a second still is a visible step.
    velocity = sign * rng.uniform(0.3, 0.85)
    return lambda t: _pose(x + velocity * t, y, level)


def _orbit(width: float, rng: Rng, pose: Array, duration: float) -> Motion:
    """An ellipse through the start, ``width`` times as wide as it is high."""
    x, y, level = pose
    radius = rng.uniform(0.1, 0.2)
    # Short actions turn fast enough to show more than half an orbit.
    period = rng.uniform(0.8, np.clip(duration, 0.8, 2.0))
    # The orbit's centre, y - radius * sin(angle), must be so far inside the band that
    # the whole orbit is: this bounds the sine, on either side of the centre.
    sines = (y - Y_HIGH) / radius + 1.0, (y - Y_LOW) / radius - 1.0
    low, high = (math.asin(np.clip(sine, -1.0, 1.0)) for sine in sines)
    first = rng.uniform(low, high)  # of the start, seen from the centre, radians
    if rng.integers(2):
        first = math.pi - first
    velocity = rng.choice([-1.0, 1.0]) * _TURN / period  # radians per second
    return lambda t: _pose(
        x + width * radius * (np.cos(first + velocity * t) - math.cos(first)),
        y + radius * (np.sin(first + velocity * t) - math.sin(first)),
        level,
    )


def _shake(rng: Rng, pose: Array, duration: float) -> Motion:
    """A fast small oscillation along one axis through the start."""
    x, y, level = pose
    # At most 4 Hz: sampling at 10 fps cannot show more than 5 Hz (Nyquist).
    frequency = rng.uniform(2.0, 4.0)
    amplitude = rng.uniform(0.05, 0.1)
    axis = rng.uniform(0.0, math.pi)
    # Near the band's edge the axis is tilted towards the horizontal.
    up = min(amplitude * math.sin(axis), y - Y_LOW, Y_HIGH - y)
    right = math.copysign(math.sqrt(amplitude**2 - up**2), math.cos(axis))
    return lambda t: _pose(
        x + right * np.sin(_TURN * frequency * t),
        y + up * np.sin(_TURN * frequency * t),
        level,
    )


def _grow(rng: Rng, pose: Array, duration: float) -> Motion:
    """A sawtooth: steady growth, and a snap from the largest to the smallest."""
    x, y, level = pose
    # Short actions still grow through at least half of the range of sizes.
    period = min(rng.uniform(1.0, 2.0), 2.0 * duration)
    return lambda t: _pose(x, y, np.mod(level + t / period, 1.0))


def _approach_leave(rng: Rng, pose: Array, duration: float) -> Motion:
    """A smooth swell and shrink between the smallest and the largest size."""
    x, y, level = pose
    # At most 2 s, so that every second shows a turn, which growth never has; short
    # actions show at least one whole cycle.
    period = min(rng.uniform(1.0, 2.0), duration)
    phase = math.acos(np.clip(1.0 - 2.0 * level, -1.0, 1.0))
    if not rng.integers(2):  # shrinks first
        phase = -phase
    return lambda t: _pose(x, y, 0.5 - 0.5 * np.cos(phase + _TURN * t / period))


# What draws a motion by its class, or by None between actions: function(rng, pose (3,)
# to start from, duration in seconds).
MOTIONS: dict[str | None, Callable[..., Motion]] = {
    None: _idle,
    'move_left': partial(_move, -1),
    'move_right': partial(_move, 1),
    'circle': partial(_orbit, 1.0),
    'shake': _shake,
    'grow': _grow,
    'approach_leave': _approach_leave,
}
CLASSES: tuple[str, ...] = tuple(filter(None, MOTIONS))
# In scenes with context: the actor moves up and down, or rests while the lamp swings.
NODS = ('nod_warm', 'nod_cold')
SIGNAL = 'signal'
MOTIONS |= {**dict.fromkeys(NODS, partial(_orbit, 0.0)), SIGNAL: _idle}
CONTEXT_CLASSES: tuple[str, ...] = (*CLASSES, *NODS, SIGNAL)

# The lamp: radii, how far it swings, and colours. With the middle 48 of 54 pixels in
# patches of 16, centred at these coordinates, its place is inside of one of them.
_HOUSING, _GLASS, _SWING = 0.08, 0.06, 0.06
_LIGHTS = {None: (90, 90, 90), 'nod_warm': (255, 180, 30), 'nod_cold': (50, 160, 255)}
_PATCH_CENTRES = (0.2, 0.5, 0.8)


def _colour(hue: float, saturation: float, value: float) -> Array:
    return 255.0 * np.array(colorsys.hsv_to_rgb(hue, saturation, value))


def _sprite(rng: Rng, max_radius: float, background: Array, actor: bool) -> Array:
    """Draws a plain shape; the actor has a texture, a ring and a core.

    Returns (S, S, 4) float32: colour in 0..255 times alpha, alpha in 0..1. The object
    reaches the picture's edge and stands out from the mean colour of the background.
    """
    # More pixels than it fills in the frame.
    size = max(math.ceil(2 * max_radius * 1.5), 8)
    shape = str(rng.choice(list(_SHAPES)))
    mask = _mask(size, shape, rng.uniform(0, _TURN))
    # A vivid colour; the most distinct one of a few from the background.
    colours = [
        _colour(rng.random(), rng.uniform(0.5, 1.0), rng.uniform(0.35, 1.0))
        for _ in range(3)
    ]
    body = max(colours, key=lambda colour: np.abs(colour - background).sum())
    if actor:
        body = _paint_actor(rng, size, body)
    return np.concatenate([body * mask, mask], axis=2).astype(np.float32)


def _mask(size: int, shape: str, turn: float) -> Array:
    """(size, size, 1) float32: 1 inside of an outline turned by radians, 0 outside."""
    radii, turns = _SHAPES[shape]
    angles = _TURN * turns + turn
    points = np.stack([np.cos(angles), np.sin(angles)], axis=1) * radii[:, None]
    # One pixel of margin keeps the border transparent for the interpolation.
    points = (points * (size / 2 - 1) + size / 2 - 0.5) * 2**_SUBPIXEL_BITS
    mask = np.zeros((size, size, 1), np.uint8)
    points = np.round(points).astype(np.int32)
    cv2.fillPoly(mask, [points], 255, cv2.LINE_AA, _SUBPIXEL_BITS)
    return mask.astype(np.float32) / 255.0


def _paint_actor(rng: Rng, size: int, colour: Array) -> Array:
    """(size, size, 3): plain, striped or chequered, with a ring and a core."""
    axis = (np.arange(size) + 0.5) * (2.0 / size) - 1.0
    xs, ys = np.meshgrid(axis, axis)
    angle, waves = rng.uniform(0, math.pi), rng.uniform(2.0, 4.0)
    along = xs * math.cos(angle) + ys * math.sin(angle)
    across = ys * math.cos(angle) - xs * math.sin(angle)
    kind = rng.integers(3)
    stripes = [np.sin(value * waves * math.pi) for value in (along, across)]
    pattern = np.prod(stripes[:kind], axis=0) if kind else np.zeros((size, size))
    shade = 1.0 + rng.uniform(0.15, 0.4) * np.clip(3.0 * pattern, -1.0, 1.0)
    body = np.clip(shade[..., None] * colour, 0, 255)
    dark, bright = rng.uniform(5, 40, size=3), rng.uniform(215, 250, size=3)
    ring, core = (dark, bright) if rng.integers(2) else (bright, dark)
    for bounds, colour in (((0.5, 0.56), ring), ((0.26, 0.32), core)):
        # A disc with a smooth edge.
        inside = (rng.uniform(*bounds) - np.hypot(xs, ys)) * size / 2
        cover = np.clip(inside + 0.5, 0.0, 1.0)[..., None]
        body = body * (1.0 - cover) + colour * cover
    return body


def _texture(rng: Rng, tile: int) -> Array:
    """Draws a seamless background (tile, tile, 3) of smooth noise and gratings."""
    tint = _colour(rng.random(), rng.uniform(0.05, 0.45), rng.uniform(0.3, 0.7))
    shared = 0.8 * _smooth_noise(rng, tile)
    channels = [shared + 0.6 * _smooth_noise(rng, tile) for _ in range(3)]
    texture = np.stack(channels, axis=2) * rng.uniform(7, 15)
    ys, xs = np.mgrid[:tile, :tile] * (_TURN / tile)
    for _ in range(rng.integers(1, 3)):
        # Whole numbers of waves per tile keep the texture seamless.
        waves_x, waves_y = rng.integers(-12, 13, size=2)
        wave = np.sin(waves_x * xs + waves_y * ys + rng.uniform(0, _TURN))
        texture += wave[..., None] * rng.uniform(-9, 9, size=3)
    return np.clip(texture + tint, 0, 255).astype(np.uint8)


def _smooth_noise(rng: Rng, tile: int) -> Array:
    """Seamless noise of unit variance with most power in low frequencies."""
    spectrum = np.fft.rfft2(rng.standard_normal((tile, tile)))
    frequency = np.hypot(np.fft.fftfreq(tile)[:, None], np.fft.rfftfreq(tile)) * tile
    spectrum *= 1.0 / (1.0 + (frequency / 4.0) ** 2)
    spectrum[0, 0] = 0
    noise = np.fft.irfft2(spectrum, s=(tile, tile))
    return noise / noise.std()


def _distractor(rng: Rng, size: int, background: Array) -> Callable[..., None]:
    """What draws a small plain object on a canvas, by the time and the shake."""
    kind = str(rng.choice(list(_DISTRACTORS)))
    own_radius = rng.uniform(0.04, 0.065)
    position = rng.uniform(0.0, 1.0, size=2)
    speed, heading = rng.uniform(*_DISTRACTORS[kind]), rng.uniform(0, _TURN)
    velocity = speed * np.array([math.cos(heading), math.sin(heading)])
    frequency, phase = rng.uniform(0.3, 1.0), rng.uniform(0, 1)
    sprite = _sprite(rng, own_radius * 1.3 * size, background, actor=False)

    def draw(canvas: Array, time_s: float, shake: Array) -> None:
        centre, radius, alpha = position + velocity * time_s, own_radius, 1.0
        turns = frequency * time_s + phase
        if kind == 'bounce':  # folded into the frame as a mirror would
            span = 1.0 - 2.0 * radius
            folded = (centre - radius) % (2.0 * span)
            centre = radius + np.minimum(folded, 2.0 * span - folded)
        else:  # leaves on one side and comes back on the other, out of sight
            centre = (centre + radius) % (1.0 + 2.0 * radius) - radius
        if kind == 'pulse':
            radius *= 1.0 + 0.3 * math.sin(_TURN * turns)
        elif kind == 'blink':
            alpha = 1.0 if turns % 1.0 < 0.5 else 0.0
        _draw(canvas, sprite, centre * size + shake, radius * size, alpha)

    return draw


class LampState(NamedTuple):
    """What the lamp does while a frame is taken."""

    light: str | None = None  # the nod that it announces; None while it is off
    swing: float = 0.0  # from its place, -1 to 1


def _lamp(rng: Rng, size: int) -> Callable[..., None]:
    """What draws the lamp on a canvas, by its state and the shake."""
    place = rng.choice(_PATCH_CENTRES, size=2) + rng.uniform(-0.02, 0.02, size=2)
    mask = _mask(max(math.ceil(3 * _HOUSING * size), 8), 'disc', 0.0)
    housing, *glasses = (
        np.concatenate([mask * np.float32(colour), mask], axis=2)
        for colour in ((15, 15, 15), *_LIGHTS.values())
    )
    glass_of = dict(zip(_LIGHTS, glasses, strict=True))

    def draw(canvas: Array, state: LampState, shake: Array) -> None:
        centre = (place + [_SWING * state.swing, 0.0]) * size + shake
        _draw(canvas, housing, centre, _HOUSING * size)
        _draw(canvas, glass_of[state.light], centre, _GLASS * size)

    return draw


def render(
    rng: Rng,
    size: int,
    times_s: Array,
    poses: Array,
    lamp: Callable[[float], LampState] | None = None,
) -> Iterator[Array]:
    """Renders a video; its look is independent of what happens in it.

    Args:
        rng: Source of randomness.
        size: Side of the square frames in pixels.
        times_s: (T,) time each frame shows, seconds, ascending.
        poses: (3, T) x, y and level of the actor.
        lamp: What the lamp does, by seconds; None if there is no lamp.

    Yields:
        (H, W, 3) uint8 RGB frames.
    """
    # One and a half frames: the repetition is never seen in one frame.
    tile = size * 3 // 2
    texture = _texture(rng, tile)
    mean_colour = texture.reshape(-1, 3).mean(axis=0)
    # Enough copies that a frame can be cut out anywhere.
    background = np.tile(texture, (3, 3, 1))
    pan = rng.uniform(-0.05, 0.05, size=2) * size
    sway, sway_period = rng.uniform(0.0, 0.03) * size, rng.uniform(4.0, 9.0)
    smallest, growth = rng.uniform(0.14, 0.16), rng.uniform(1.6, 1.75)
    actor = _sprite(rng, smallest * growth * size, mean_colour, actor=True)
    others = [_distractor(rng, size, mean_colour) for _ in range(rng.integers(1, 3))]
    jitter, noise = rng.uniform(0.2, 0.6) * size / 80.0, rng.uniform(1.5, 4.0)
    light, light_period = rng.uniform(0.03, 0.12), rng.uniform(6.0, 15.0)
    light_phase = rng.uniform(0, _TURN)
    # Noise is cut from one large field: cheaper than drawing it anew.
    field = (noise * rng.standard_normal((2 * size, 2 * size, 1))).astype(np.float32)
    shake, radii = np.zeros(2), smallest * growth ** poses[2] * size
    draw_lamp = None if lamp is None else _lamp(rng, size)
    for time_s, x, y, radius in zip(times_s, *poses[:2], radii, strict=True):
        # The hand holding the camera: a random walk pulled back to rest.
        shake = 0.6 * shake + jitter * rng.standard_normal(2)
        turn = _TURN * time_s / sway_period
        swing = sway * np.array([math.sin(turn), math.cos(turn)])
        centre = np.mod(pan * time_s + swing - shake, tile) + tile / 2 + size / 2
        canvas = cv2.getRectSubPix(background, (size, size), centre.tolist())
        canvas = canvas.astype(np.float32)
        for draw in others:
            draw(canvas, time_s, shake)
        # The world is a cylinder: what leaves on one side enters on the other.
        for turns in (-1, 0, 1):
            _draw(canvas, actor, np.array([x + turns, y]) * size + shake, radius)
        if draw_lamp is not None:
            draw_lamp(canvas, lamp(time_s), shake)
        turn = _TURN * time_s / light_period + light_phase
        canvas *= 1.0 + light * math.sin(turn)
        top, left = rng.integers(0, size, size=2)
        canvas += field[top : top + size, left : left + size]
        yield np.clip(np.rint(canvas), 0, 255).astype(np.uint8)


def _draw(
    canvas: Array, sprite: Array, centre: Array, radius: float, alpha: float = 1.0
) -> None:
    """Blends a sprite over the canvas in place, at a sub-pixel position."""
    low = np.maximum((centre - radius).astype(int) - 1, 0)
    high = np.minimum((centre + radius).astype(int) + 2, canvas.shape[0])
    if (low >= high).any() or alpha <= 0:
        return
    scale = 2.0 * radius / sprite.shape[0]
    shift = centre - radius - low + 0.5 * scale - 0.5
    matrix = np.column_stack([scale * np.eye(2), shift])
    patch = cv2.warpAffine(sprite, matrix, (high - low).tolist())
    target = canvas[low[1] : high[1], low[0] : high[0]]
    target *= 1.0 - alpha * patch[..., 3:]
    target += alpha * patch[..., :3]
