"""One synthetic video as pictures: background, distractors, actor, camera."""

from __future__ import annotations

import math
from collections.abc import Iterator

import cv2
import numpy as np

from .appearance import make_actor_sprite, make_background, make_distractor_sprite
from .motions import Pose

_DISTRACTOR_KINDS = ('line', 'bounce', 'pulse', 'blink')


class Distractor:
    """A small plain object that keeps moving and never performs an action.

    Args:
        rng: Source of randomness.
        size: Side of the frame in pixels.
        background: (3,) mean colour of the background.
    """

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
        self._sprite = make_distractor_sprite(
            rng, self._radius * 1.3 * size, background
        )

    def draw(self, canvas: np.ndarray, time_s: float, shift: np.ndarray) -> None:
        """Draws the object as it is at a time.

        Args:
            canvas: (H, W, 3) float32, changed in place.
            time_s: Seconds of the video.
            shift: (2,) displacement by the camera in pixels.
        """
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
        self._sprite.draw(canvas, x, y, radius * self._size, alpha)


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
        texture = make_background(rng, tile)
        mean_colour = texture.reshape(-1, 3).mean(axis=0)
        self._tile = tile
        # Enough copies that a frame can be cut out anywhere.
        self._background = np.ascontiguousarray(np.tile(texture, (3, 3, 1)))
        self._pan = rng.uniform(-0.05, 0.05, size=2) * size
        self._sway = rng.uniform(0.0, 0.03) * size
        self._sway_period = rng.uniform(4.0, 9.0)
        self._min_radius = rng.uniform(0.14, 0.16)
        self._growth = rng.uniform(1.6, 1.75)
        self._actor = make_actor_sprite(
            rng, self._min_radius * self._growth * size, mean_colour
        )
        self._distractors = [
            Distractor(rng, size, mean_colour) for _ in range(rng.integers(1, 3))
        ]
        self._jitter = rng.uniform(0.2, 0.6) * size / 80.0
        self._noise = rng.uniform(1.5, 4.0)
        self._light = rng.uniform(0.03, 0.12)
        self._light_period = rng.uniform(6.0, 15.0)
        self._light_phase = rng.uniform(0, 2 * math.pi)
        # Noise is cut from one large field: cheaper than drawing it anew.
        self._noise_field = (
            self._noise * rng.standard_normal((2 * size, 2 * size, 1))
        ).astype(np.float32)

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
        for time_s, x, y, radius in zip(times_s, poses.x, poses.y, radii):
            # The hand holding the camera: a random walk pulled back to rest.
            shake = 0.6 * shake + self._jitter * self._rng.standard_normal(2)
            canvas = self._render_background(time_s, shake)
            for distractor in self._distractors:
                distractor.draw(canvas, time_s, shake)
            self._draw_actor(canvas, x, y, radius, shake)
            yield self._expose(canvas, time_s)

    def _render_background(self, time_s: float, shift: np.ndarray) -> np.ndarray:
        turn = 2 * math.pi * time_s / self._sway_period
        sway = self._sway * np.array([math.sin(turn), math.cos(turn)])
        offset = np.mod(self._pan * time_s + sway - shift, self._tile)
        centre = offset + self._tile / 2 + self._size / 2
        cut = cv2.getRectSubPix(
            self._background,
            (self._size, self._size),
            (float(centre[0]), float(centre[1])),
        )
        return cut.astype(np.float32)

    def _draw_actor(
        self, canvas: np.ndarray, x: float, y: float, radius: float, shift: np.ndarray
    ) -> None:
        # The world is a cylinder: what leaves on one side enters on the other.
        for turn in (-1, 0, 1):
            self._actor.draw(
                canvas,
                (x + turn) * self._size + shift[0],
                y * self._size + shift[1],
                radius * self._size,
            )

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
