"""How a synthetic video looks: sprites, background, distractors, actor, camera.

Appearance is drawn once per video and is independent of what happens in it.
"""

from __future__ import annotations

import colorsys
import math
from collections.abc import Iterator

import cv2
import numpy as np

from .script import Pose

SHAPES = ('disc', 'square', 'triangle', 'star', 'hexagon', 'cross')
# Sprites are drawn with more pixels than they fill in the frame.
_OVERSAMPLING = 1.5
_SUBPIXEL_BITS = 4
_DISTRACTOR_KINDS = ('line', 'bounce', 'pulse', 'blink')


def _draw(
    canvas: np.ndarray,
    sprite: np.ndarray,
    x: float,
    y: float,
    radius: float,
    alpha: float = 1.0,
) -> None:
    """Blends a sprite over the canvas in place, at a sub-pixel position."""
    height, width = canvas.shape[:2]
    left, right = max(int(x - radius) - 1, 0), min(int(x + radius) + 2, width)
    top, bottom = max(int(y - radius) - 1, 0), min(int(y + radius) + 2, height)
    if left >= right or top >= bottom or alpha <= 0:
        return
    scale = 2.0 * radius / sprite.shape[0]
    matrix = np.array(
        [
            [scale, 0.0, x - radius - left + 0.5 * scale - 0.5],
            [0.0, scale, y - radius - top + 0.5 * scale - 0.5],
        ]
    )
    patch = cv2.warpAffine(
        sprite, matrix, (right - left, bottom - top), flags=cv2.INTER_LINEAR
    )
    target = canvas[top:bottom, left:right]
    target *= 1.0 - alpha * patch[..., 3:]
    target += alpha * patch[..., :3]


def _sprite(
    rng: np.random.Generator, max_radius: float, background: np.ndarray, actor: bool
) -> np.ndarray:
    """Draws a plain shape; the actor has a texture, a ring and a core.

    Returns (S, S, 4) float32: colour in 0..255 times alpha, alpha in 0..1. The object
    reaches the picture's edge and stands out from the mean colour of the background.
    """
    size = max(math.ceil(2 * max_radius * _OVERSAMPLING), 8)
    shape = str(rng.choice(SHAPES))
    mask = _shape_mask(shape, size, rng.uniform(0, 2 * math.pi))[..., None]
    # A vivid colour; the most distinct one of a few from the background.
    colours = [
        _colour(rng.random(), rng.uniform(0.5, 1.0), rng.uniform(0.35, 1.0))
        for _ in range(3)
    ]
    body = max(colours, key=lambda colour: np.abs(colour - background).sum())
    if actor:
        body = _body_texture(rng, size, body)
        dark, bright = rng.uniform(5, 40, size=3), rng.uniform(215, 250, size=3)
        ring, core = (dark, bright) if rng.integers(2) else (bright, dark)
        body = _paint_disc(body, rng.uniform(0.5, 0.56), ring)
        body = _paint_disc(body, rng.uniform(0.26, 0.32), core)
    return np.concatenate([body * mask, mask], axis=2).astype(np.float32)


def _texture(rng: np.random.Generator, tile: int) -> np.ndarray:
    """Draws a seamless background (tile, tile, 3) of smooth noise and gratings."""
    tint = _colour(rng.random(), rng.uniform(0.05, 0.45), rng.uniform(0.3, 0.7))
    shared = 0.8 * _smooth_noise(rng, tile)
    channels = [shared + 0.6 * _smooth_noise(rng, tile) for _ in range(3)]
    texture = np.stack(channels, axis=2) * rng.uniform(7, 15)
    ys, xs = np.mgrid[:tile, :tile] * (2 * math.pi / tile)
    for _ in range(rng.integers(1, 3)):
        # Whole numbers of waves per tile keep the texture seamless.
        waves_x, waves_y = rng.integers(-12, 13, size=2)
        wave = np.sin(waves_x * xs + waves_y * ys + rng.uniform(0, 2 * math.pi))
        texture += wave[..., None] * rng.uniform(-9, 9, size=3)
    return np.clip(texture + tint, 0, 255).astype(np.uint8)


def _smooth_noise(rng: np.random.Generator, tile: int) -> np.ndarray:
    """Seamless noise of unit variance with most power in low frequencies."""
    spectrum = np.fft.rfft2(rng.standard_normal((tile, tile)))
    frequency = np.hypot(np.fft.fftfreq(tile)[:, None], np.fft.rfftfreq(tile)) * tile
    spectrum *= 1.0 / (1.0 + (frequency / 4.0) ** 2)
    spectrum[0, 0] = 0
    noise = np.fft.irfft2(spectrum, s=(tile, tile))
    return noise / noise.std()


def _colour(hue: float, saturation: float, value: float) -> np.ndarray:
    return 255.0 * np.array(colorsys.hsv_to_rgb(hue, saturation, value))


def _grid(size: int) -> tuple[np.ndarray, np.ndarray]:
    """Coordinates of the pixel centres, -1..1 over the sprite."""
    axis = (np.arange(size) + 0.5) * (2.0 / size) - 1.0
    return np.meshgrid(axis, axis)


def _body_texture(
    rng: np.random.Generator, size: int, colour: np.ndarray
) -> np.ndarray:
    """(size, size, 3): plain, striped or chequered in two shades of a colour."""
    xs, ys = _grid(size)
    angle, waves = rng.uniform(0, math.pi), rng.uniform(2.0, 4.0)
    along = xs * math.cos(angle) + ys * math.sin(angle)
    across = ys * math.cos(angle) - xs * math.sin(angle)
    kind = rng.integers(3)
    pattern = np.zeros((size, size))
    if kind >= 1:
        pattern = np.sin(along * waves * math.pi)
    if kind == 2:
        pattern = pattern * np.sin(across * waves * math.pi)
    shade = 1.0 + rng.uniform(0.15, 0.4) * np.clip(3.0 * pattern, -1.0, 1.0)
    return np.clip(shade[..., None] * colour, 0, 255)


def _shape_mask(shape: str, size: int, rotation: float) -> np.ndarray:
    """(size, size) float32 coverage 0..1 of a shape of radius 1."""
    if shape == 'disc':
        radii, angles = np.ones(32), np.arange(32) / 32
    elif shape == 'star':
        radii, angles = np.tile([1.0, 0.62], 5), np.arange(10) / 10
    elif shape == 'cross':
        arm = math.atan2(0.35, 0.95) / (2 * math.pi)
        angles = (np.arange(4)[:, None] / 4 + np.array([-arm, arm, 0.125])).ravel()
        radii = np.tile([1.0, 1.0, 0.5], 4)
    else:
        corners = {'triangle': 3, 'square': 4, 'hexagon': 6}[shape]
        radii, angles = np.ones(corners), np.arange(corners) / corners
    angles = 2 * math.pi * angles + rotation
    points = np.stack([np.cos(angles), np.sin(angles)], axis=1) * radii[:, None]
    # One pixel of margin keeps the border transparent for the interpolation.
    points = (points * (size / 2 - 1) + size / 2 - 0.5) * 2**_SUBPIXEL_BITS
    mask = np.zeros((size, size), np.uint8)
    cv2.fillPoly(
        mask, [np.round(points).astype(np.int32)], 255, cv2.LINE_AA, _SUBPIXEL_BITS
    )
    return mask.astype(np.float32) / 255.0


def _paint_disc(body: np.ndarray, radius: float, colour: np.ndarray) -> np.ndarray:
    """Paints a disc with a smooth edge in the middle of the body."""
    size = body.shape[0]
    distance = np.hypot(*_grid(size))
    cover = np.clip((radius - distance) * size / 2 + 0.5, 0.0, 1.0)[..., None]
    return body * (1.0 - cover) + colour * cover


class _Distractor:
    """A small plain object that keeps moving and never performs an action."""

    def __init__(
        self, rng: np.random.Generator, size: int, background: np.ndarray
    ) -> None:
        self._size = size
        self._kind = str(rng.choice(_DISTRACTOR_KINDS))
        self._radius = rng.uniform(0.04, 0.065)
        self._position = rng.uniform(0.0, 1.0, size=2)
        fast = self._kind in ('line', 'bounce')
        speed = rng.uniform(0.1, 0.4) if fast else rng.uniform(0.02, 0.08)
        heading = rng.uniform(0, 2 * math.pi)
        self._velocity = speed * np.array([math.cos(heading), math.sin(heading)])
        self._frequency = rng.uniform(0.3, 1.0)
        self._phase = rng.uniform(0, 1)
        self._sprite = _sprite(rng, self._radius * 1.3 * size, background, actor=False)

    def draw(self, canvas: np.ndarray, time_s: float, shift: np.ndarray) -> None:
        """Draws the object as it is at a time, displaced by the camera (pixels)."""
        x, y = self._position + self._velocity * time_s
        radius, alpha = self._radius, 1.0
        turns = self._frequency * time_s + self._phase
        if self._kind == 'bounce':
            x, y = _bounce(x, radius), _bounce(y, radius)
        else:  # Leaves on one side and comes back on the other, out of sight.
            span = 1.0 + 2.0 * radius
            x, y = (x + radius) % span - radius, (y + radius) % span - radius
        if self._kind == 'pulse':
            radius *= 1.0 + 0.3 * math.sin(2 * math.pi * turns)
        elif self._kind == 'blink':
            alpha = 1.0 if turns % 1.0 < 0.5 else 0.0
        x, y = np.array([x, y]) * self._size + shift
        _draw(canvas, self._sprite, x, y, radius * self._size, alpha)


class Scene:
    """The look of one video: everything but the actor's script.

    Args:
        rng: Source of randomness; it also drives noise and jitter, so frames
            can be rendered once, in order.
        size: Side of the square frame in pixels.
    """

    def __init__(self, rng: np.random.Generator, size: int) -> None:
        self._rng = rng
        self._size = size
        # One and a half frames: the repetition is never seen in one frame.
        tile = size * 3 // 2
        texture = _texture(rng, tile)
        mean_colour = texture.reshape(-1, 3).mean(axis=0)
        self._tile = tile
        # Enough copies that a frame can be cut out anywhere.
        self._background = np.ascontiguousarray(np.tile(texture, (3, 3, 1)))
        self._pan = rng.uniform(-0.05, 0.05, size=2) * size
        self._sway = rng.uniform(0.0, 0.03) * size
        self._sway_period = rng.uniform(4.0, 9.0)
        self._min_radius = rng.uniform(0.14, 0.16)
        self._growth = rng.uniform(1.6, 1.75)
        largest = self._min_radius * self._growth * size
        self._actor = _sprite(rng, largest, mean_colour, actor=True)
        self._distractors = [
            _Distractor(rng, size, mean_colour) for _ in range(rng.integers(1, 3))
        ]
        self._jitter = rng.uniform(0.2, 0.6) * size / 80.0
        noise = rng.uniform(1.5, 4.0)
        self._light = rng.uniform(0.03, 0.12)
        self._light_period = rng.uniform(6.0, 15.0)
        self._light_phase = rng.uniform(0, 2 * math.pi)
        # Noise is cut from one large field: cheaper than drawing it anew.
        field = noise * rng.standard_normal((2 * size, 2 * size, 1))
        self._noise_field = field.astype(np.float32)

    def radius(self, level: np.ndarray) -> np.ndarray:
        """Returns the actor's radius, a fraction of the frame width."""
        return self._min_radius * self._growth**level

    def frames(self, times_s: np.ndarray, poses: Pose) -> Iterator[np.ndarray]:
        """Renders the video.

        Args:
            times_s: (T,) time each frame shows, seconds, ascending.
            poses: The actor's poses, fields (T,).

        Yields:
            (H, W, 3) uint8 RGB frames.
        """
        radii = self.radius(poses.level)
        shake = np.zeros(2)
        for time_s, x, y, radius in zip(times_s, poses.x, poses.y, radii, strict=True):
            # The hand holding the camera: a random walk pulled back to rest.
            shake = 0.6 * shake + self._jitter * self._rng.standard_normal(2)
            canvas = self._render_background(time_s, shake)
            for distractor in self._distractors:
                distractor.draw(canvas, time_s, shake)
            # The world is a cylinder: what leaves on one side enters on the other.
            centre_y = y * self._size + shake[1]
            for turn in (-1, 0, 1):
                centre_x = (x + turn) * self._size + shake[0]
                _draw(canvas, self._actor, centre_x, centre_y, radius * self._size)
            yield self._expose(canvas, time_s)

    def _render_background(self, time_s: float, shift: np.ndarray) -> np.ndarray:
        turn = 2 * math.pi * time_s / self._sway_period
        sway = self._sway * np.array([math.sin(turn), math.cos(turn)])
        offset = np.mod(self._pan * time_s + sway - shift, self._tile)
        centre = offset + self._tile / 2 + self._size / 2
        patch = (self._size, self._size)
        cut = cv2.getRectSubPix(self._background, patch, tuple(centre.tolist()))
        return cut.astype(np.float32)

    def _expose(self, canvas: np.ndarray, time_s: float) -> np.ndarray:
        """Applies the light and the sensor's noise."""
        turn = 2 * math.pi * time_s / self._light_period + self._light_phase
        canvas *= 1.0 + self._light * math.sin(turn)
        top, left = self._rng.integers(0, self._size, size=2)
        canvas += self._noise_field[top : top + self._size, left : left + self._size]
        return np.clip(np.rint(canvas), 0, 255).astype(np.uint8)


def _bounce(value: float, margin: float) -> float:
    """Folds a coordinate into [margin, 1 - margin] as a mirror would."""
    span = 1.0 - 2.0 * margin
    folded = (value - margin) % (2.0 * span)
    return margin + min(folded, 2.0 * span - folded)
