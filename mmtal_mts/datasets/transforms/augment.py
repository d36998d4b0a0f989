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
        numbers = range(len(classes))
        labels = dict(zip([*classes, *numbers], [*numbers, *numbers], strict=True))
        for pair in self.label_map.items():
            unknown = [name for name in pair if name not in labels]
            if unknown:
                raise ValueError(
                    f'FlipClip: label_map names {unknown[0]!r}, which is not one of '
                    f'the {len(classes)} classes {classes[:10]}'
                )
            one, other = (labels[name] for name in pair)
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
        clip_len, shortest = results['clip_len'], results.get('min_segment_f')
        if len(segments) == 0:
            return results
        if shortest is None:
            shortest = float((segments[:, 1] - segments[:, 0]).min())
        found = _draw_cut(segments, self._stretch_length(shortest, clip_len), clip_len)
        if found is not None:
            results['consistency'] = _insert(*found)
        return results

    def _stretch_length(self, shortest: float, clip_len: int) -> int:
        """Frames to insert, maybe 0."""
        shortest = min(shortest, clip_len)
        is_whole = self.divisor == 1
        return math.ceil(shortest) if is_whole else math.floor(shortest) // self.divisor


def _draw_cut(segments: np.ndarray, length: int, clip_len: int) -> tuple | None:
    """Draws the arguments of :func:`_insert`; None if no stretch fits."""
    # Both parts of the action keep at least the length of the stretch.
    actions = segments[segments[:, 1] - segments[:, 0] > 2 * length]
    regions = [
        (math.ceil(start), math.floor(end))
        for start, end in _background_regions(segments, clip_len)
        if math.floor(end) - math.ceil(start) > length
    ]
    if length < 1 or len(actions) == 0 or not regions:
        return None
    start, end = action = actions[np.random.randint(len(actions))]
    cut = math.ceil(start) + np.random.randint(length, math.ceil(end - start - length))
    first, last = regions[np.random.randint(len(regions))]
    moved = first + np.random.randint(last - first - length)
    return action, cut, moved, length, clip_len


def _background_regions(segments: np.ndarray, clip_len: int) -> list[tuple]:
    """The stretches (start, end) without an action, between frames 0 and T - 1."""
    regions, covered_to = [], 0.0
    for start, end in [*sorted(map(tuple, segments.tolist())), (clip_len - 1, 0.0)]:
        if start > covered_to:
            regions.append((covered_to, start))
        covered_to = max(covered_to, end)
    return regions


def _insert(
    action: Sequence[float], cut: int, moved: int, length: int, clip_len: int
) -> dict[str, np.ndarray]:
    """Moves the stretch of background that begins at ``moved`` to before ``cut``."""
    # What lies between a stretch in front and the cut moves towards the start.
    shift = length if moved < cut else 0
    stretch = np.arange(moved, moved + length)
    order = np.insert(np.delete(np.arange(clip_len), stretch), cut - shift, stretch)
    (start, end), cut = np.subtract(action, shift), cut - shift
    parts = (start, cut), (cut + length, end + length), (cut + 1, cut + length - 1)
    return dict(frame_order=order, segments=np.array(parts, dtype=np.float32))
