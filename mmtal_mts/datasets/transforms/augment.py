"""Augmentations of a window."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from mmaction.registry import TRANSFORMS
from mmcv.transforms import BaseTransform


@TRANSFORMS.register_module()
@dataclass(eq=False)
class FlipClip(BaseTransform):
    """Mirrors all frames of a window left to right.

    Required Keys:

    - imgs (list of (H, W, C) uint8 arrays)
    - modality
    - gt_labels, and classes if ``label_map`` is given

    Modified Keys: imgs, gt_labels. Added Keys: flip.

    Args:
        flip_ratio: Probability of a flip.
        label_map: Classes that a mirror exchanges, by name or index:
            ``{'move left': 'move right'}`` maps both ways.
        negate_flow_x: Mirror the horizontal flow too: a movement to the left
            becomes one to the right.

    Raises:
        ValueError: If an argument makes no sense.
    """

    flip_ratio: float = 0.5
    label_map: dict[str | int, str | int] | None = None
    negate_flow_x: bool = True

    def __post_init__(self) -> None:
        if not 0 <= self.flip_ratio <= 1:
            raise ValueError(f'flip_ratio must be in [0, 1], got {self.flip_ratio}')

    def transform(self, results: dict) -> dict:
        """Flips the window or leaves it."""
        results['flip'] = bool(np.random.rand() < self.flip_ratio)
        if not results['flip']:
            return results
        imgs = [np.ascontiguousarray(img[:, ::-1]) for img in results['imgs']]
        if results['modality'] == 'Flow' and self.negate_flow_x:
            for img in imgs:
                img[..., 0] = 255 - img[..., 0]
        results['imgs'] = imgs
        if self.label_map:
            mirror = self._mirror(list(results['classes']))
            results['gt_labels'] = mirror[results['gt_labels']]
        return results

    def _mirror(self, classes: Sequence[str]) -> np.ndarray:
        """The label that a mirror makes of each label."""
        mirror = np.arange(len(classes))
        for names in self.label_map.items():
            for name in names:
                if name not in classes and name not in range(len(classes)):
                    raise ValueError(
                        f'FlipClip: label_map names {name!r}, which is not one of the '
                        f'{len(classes)} classes {list(classes)[:10]}'
                    )
            one, other = (classes.index(n) if n in classes else n for n in names)
            mirror[one], mirror[other] = other, one
        twice = mirror[mirror] != np.arange(len(classes))
        if twice.any():
            raise ValueError(
                f'FlipClip: label_map exchanges {classes[twice.argmax()]!r} with more '
                f'than one class: {self.label_map}'
            )
        return mirror


@TRANSFORMS.register_module()
@dataclass(eq=False)
class ShuffleFrames(BaseTransform):
    """Puts the frames of a window into random order; annotations stay.

    No augmentation but a control experiment: a model that still finds the actions
    recognises them by single frames instead of by motion.

    Modified Keys: imgs (list of frames).
    """

    def transform(self, results: dict) -> dict:
        """Shuffles the frames in time."""
        imgs = results['imgs']
        results['imgs'] = [imgs[i] for i in np.random.permutation(len(imgs))]
        return results


def _background_regions(segments: np.ndarray, clip_len: int) -> list[tuple]:
    """The stretches (start, end) without an action, between frames 0 and T - 1."""
    regions, covered_to = [], 0.0
    for start, end in sorted(map(tuple, segments.tolist())):
        if start > covered_to:
            regions.append((covered_to, start))
        covered_to = max(covered_to, end)
    if clip_len - 1 > covered_to:
        regions.append((covered_to, clip_len - 1))
    return regions


def _cut_and_insert(
    action: tuple[float, float],
    cut: int,
    moved: int,
    num_moved: int,
    clip_len: int,
) -> dict[str, np.ndarray]:
    """Moves a stretch of background to a position inside an action.

    ``moved`` is the first frame of the stretch, ``cut`` the frame it is put before.
    """
    start, end = action
    order = np.arange(clip_len)
    stretch = order[moved : moved + num_moved]
    if moved >= cut:
        order = [order[:cut], stretch, order[cut:moved], order[moved + num_moved :]]
        parts = [(start, cut), (cut + num_moved, end + num_moved)]
        inserted = (cut + 1, cut + num_moved - 1)
    else:
        # What lies between the stretch and the cut moves towards the start.
        order = [order[:moved], order[moved + num_moved : cut], stretch, order[cut:]]
        parts = [(start - num_moved, cut - num_moved), (cut, end)]
        inserted = (cut - num_moved + 1, cut - 1)
    return dict(
        frame_order=np.concatenate(order),
        segments=np.array([*parts, inserted], dtype=np.float32),
    )


@TRANSFORMS.register_module()
@dataclass(eq=False)
class CutInsertBackground(BaseTransform):
    """Cuts an action in two by background from elsewhere in the window (AFSD).

    The window itself stays as it is. Only the order of the frames of the augmented
    window is handed on: the model makes the second clip from the first one, which
    saves loading and moving it. There is one try per window; it fails where no action
    or no background is long enough.

    Required Keys:

    - clip_len
    - gt_segments
    - min_segment_f (optional, length of the shortest action in any window of the
      video, sampled frames; by default the shortest of this window)

    Added Keys:

    - consistency, only if the try succeeded: dict of frame_order ((T,) int64, which
      frame stands at each position of the new window) and segments ((3, 2) float32
      sampled frames of the new window: both parts of the cut action, and the
      inserted background)

    Args:
        divisor: The inserted stretch is as long as the shortest action. AFSD
            rounds this up on THUMOS14 (1), and takes a quarter of it, rounded down,
            on ActivityNet (4).

    Raises:
        ValueError: If ``divisor`` is not positive.
    """

    divisor: int = 1

    def __post_init__(self) -> None:
        if self.divisor < 1:
            raise ValueError(f'divisor must be >= 1, got {self.divisor}')

    def transform(self, results: dict) -> dict:
        """Adds the augmented window, if one is possible."""
        segments = np.asarray(results['gt_segments'], dtype=np.float64).reshape(-1, 2)
        if len(segments) == 0:
            return results
        clip_len = results['clip_len']
        shortest = results.get('min_segment_f')
        if shortest is None:
            shortest = float((segments[:, 1] - segments[:, 0]).min())
        found = self._draw(segments, self._stretch_length(shortest, clip_len), clip_len)
        if found is not None:
            results['consistency'] = found
        return results

    def _stretch_length(self, shortest: float, clip_len: int) -> int:
        """Frames to insert, maybe 0."""
        shortest = min(shortest, clip_len)
        if self.divisor == 1:
            return math.ceil(shortest)
        return math.floor(shortest) // self.divisor

    @staticmethod
    def _draw(segments: np.ndarray, num_moved: int, clip_len: int) -> dict | None:
        """Draws an action, a cut, a background and a stretch; None if nothing fits."""
        lengths = segments[:, 1] - segments[:, 0]
        actions = segments[lengths > 2 * num_moved]
        regions = [
            (math.ceil(start), math.floor(end))
            for start, end in _background_regions(segments, clip_len)
            if math.floor(end) - math.ceil(start) > num_moved
        ]
        if num_moved < 1 or len(actions) == 0 or not regions:
            return None
        start, end = actions[np.random.randint(len(actions))]
        # Both parts of the action keep at least the length of the stretch.
        cut = math.ceil(start) + np.random.randint(
            num_moved, math.ceil(end - start - num_moved)
        )
        first, last = regions[np.random.randint(len(regions))]
        moved = first + np.random.randint(last - first - num_moved)
        return _cut_and_insert((start, end), cut, moved, num_moved, clip_len)
