"""How things look in the synthetic videos: shapes, colours and textures.

Appearance is drawn once per video and is independent of what happens in it.
"""

from __future__ import annotations

import colorsys
import math

import cv2
import numpy as np

SHAPES = ('disc', 'square', 'triangle', 'star', 'hexagon', 'cross')
# Sprites are drawn with more pixels than they fill in the frame.
_OVERSAMPLING = 1.5
_SUBPIXEL_BITS = 4


class Sprite:
    """A small picture with transparency, drawn at sub-pixel positions.

    Args:
        rgba: (S, S, 4) float32, colour in 0..255 multiplied by alpha, alpha in
            0..1; the object's radius of 1 ends at the picture's edge.
    """

    def __init__(self, rgba: np.ndarray) -> None:
        self._rgba = rgba

    def draw(
        self, canvas: np.ndarray, x: float, y: float, radius: float, alpha: float = 1.0
    ) -> None:
        """Blends the sprite over the canvas; parts outside are cut off.

        Args:
            canvas: (H, W, 3) float32 in 0..255, changed in place.
            x: Centre in pixels.
            y: Centre in pixels.
            radius: Radius in pixels.
            alpha: Opacity in 0..1.
        """
        height, width = canvas.shape[:2]
        left, right = max(int(x - radius) - 1, 0), min(int(x + radius) + 2, width)
        top, bottom = max(int(y - radius) - 1, 0), min(int(y + radius) + 2, height)
        if left >= right or top >= bottom or alpha <= 0:
            return
        scale = 2.0 * radius / self._rgba.shape[0]
        matrix = np.array(
            [
                [scale, 0.0, x - radius - left + 0.5 * scale - 0.5],
                [0.0, scale, y - radius - top + 0.5 * scale - 0.5],
            ]
        )
        patch = cv2.warpAffine(
            self._rgba, matrix, (right - left, bottom - top), flags=cv2.INTER_LINEAR
        )
        target = canvas[top:bottom, left:right]
        target *= 1.0 - alpha * patch[..., 3:]
        target += alpha * patch[..., :3]


def make_actor_sprite(
    rng: np.random.Generator, max_radius: float, background: np.ndarray
) -> Sprite:
    """Draws the actor: a textured shape with a ring and a core as its mark.

    Args:
        rng: Source of randomness.
        max_radius: Largest radius in pixels it will be drawn at.
        background: (3,) mean colour of the background, to stand out from.

    Returns:
        The sprite.
    """
    size = _sprite_size(max_radius)
    mask = _shape_mask(str(rng.choice(SHAPES)), size, rng.uniform(0, 2 * math.pi))
    body = _body_texture(rng, size, _contrasting_colour(rng, background))
    dark, bright = rng.uniform(5, 40, size=3), rng.uniform(215, 250, size=3)
    ring, core = (dark, bright) if rng.integers(2) else (bright, dark)
    body = _paint_disc(body, rng.uniform(0.5, 0.56), ring)
    body = _paint_disc(body, rng.uniform(0.26, 0.32), core)
    return _compose(body, mask)


def make_distractor_sprite(
    rng: np.random.Generator, max_radius: float, background: np.ndarray
) -> Sprite:
    """Draws a distractor: a plain shape without the actor's mark."""
    size = _sprite_size(max_radius)
    mask = _shape_mask(str(rng.choice(SHAPES)), size, rng.uniform(0, 2 * math.pi))
    colour = _contrasting_colour(rng, background)
    return _compose(np.broadcast_to(colour, (size, size, 3)), mask)


def make_background(rng: np.random.Generator, tile: int) -> np.ndarray:
    """Draws a seamless texture of smooth noise and gratings.

    Args:
        rng: Source of randomness.
        tile: Side in pixels; the texture repeats without a seam.

    Returns:
        (tile, tile, 3) uint8, RGB.
    """
    tint = _colour(rng.random(), rng.uniform(0.05, 0.45), rng.uniform(0.3, 0.7))
    texture = np.empty((tile, tile, 3))
    shared = _smooth_noise(rng, tile)
    for channel in range(3):
        own = _smooth_noise(rng, tile)
        texture[..., channel] = 0.8 * shared + 0.6 * own
    texture *= rng.uniform(7, 15)
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


def _contrasting_colour(rng: np.random.Generator, other: np.ndarray) -> np.ndarray:
    """A vivid colour; the most distinct one of a few from ``other``."""
    colours = [
        _colour(rng.random(), rng.uniform(0.5, 1.0), rng.uniform(0.35, 1.0))
        for _ in range(3)
    ]
    return max(colours, key=lambda colour: np.abs(colour - other).sum())


def _sprite_size(max_radius: float) -> int:
    return max(int(math.ceil(2 * max_radius * _OVERSAMPLING)), 8)


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
        radii, angles = np.tile([1.0, 1.0, 0.5], 4), np.zeros(12)
        arm = math.atan2(0.35, 0.95) / (2 * math.pi)
        for corner in range(4):
            angles[3 * corner : 3 * corner + 3] = corner / 4 + np.array(
                [-arm, arm, 0.125]
            )
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


def _compose(body: np.ndarray, mask: np.ndarray) -> Sprite:
    rgba = np.concatenate([body * mask[..., None], mask[..., None]], axis=2)
    return Sprite(np.ascontiguousarray(rgba, dtype=np.float32))
