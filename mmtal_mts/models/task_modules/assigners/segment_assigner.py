"""Which segment each location has to find."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from mmaction.registry import TASK_UTILS
from torch import Tensor


class SegmentTargets(NamedTuple):
    """What every location should predict.

    Attributes:
        labels: (N, P) in 0..K, K is background.
        distances: (N, P, 2) distances to start and end of the assigned segment in
            sampled frames; 0 for background.
    """

    labels: Tensor
    distances: Tensor


@TASK_UTILS.register_module()
class SegmentAssigner:
    """A location belongs to the shortest ground-truth segment that holds it.

    As in AFSD: both ends count as inside, no centre radius, ties go to the segment
    that stands first.

    Args:
        level_ranges: Per level ``(low, high)``: only segments with
            ``low < max(distance) <= high`` sampled frames are considered on it.
            ``None`` lets all levels compete for all lengths (THUMOS14).
    """

    def __init__(
        self, level_ranges: Sequence[tuple[float, float]] | None = None
    ) -> None:
        self.level_ranges = level_ranges

    def assign(
        self,
        level_points: Sequence[Tensor],
        segments: Tensor,
        labels: Tensor,
        num_classes: int,
    ) -> tuple[Tensor, Tensor]:
        """Assigns the locations of one clip.

        Args:
            level_points: L tensors (T_l,) location centres in sampled frames, as many
                as ``level_ranges`` has.
            segments: (G, 2) ground truth in sampled frames of the clip.
            labels: (G,) in 0..K-1.
            num_classes: K.

        Returns:
            labels (P,) and distances (P, 2), see :class:`SegmentTargets`.
        """
        points = torch.cat(list(level_points))
        if len(segments) == 0:
            background = points.new_full((len(points),), num_classes, dtype=torch.long)
            return background, points.new_zeros(len(points), 2)
        start, end = segments.to(points).unbind(1)
        # (P, G, 2) from every point to the start and the end of every segment.
        distances = torch.stack([points[:, None] - start, end - points[:, None]], -1)
        candidate = (distances >= 0).all(-1)  # (P, G)
        if self.level_ranges is not None:
            low, high = self._ranges(level_points)  # (P, 1)
            reach = distances.amax(-1)
            candidate &= (reach > low) & (reach <= high)
        length = distances.sum(-1).masked_fill(~candidate, torch.inf)
        # argmin does not promise the first of equal values, a sorted cummin would be
        # dearer than comparing: pick the first index that equals the minimum.
        shortest = length.amin(dim=1, keepdim=True)
        chosen = (length == shortest).float().argmax(dim=1)  # (P,)
        background = ~candidate.any(dim=1)
        labels = labels.to(points.device)[chosen].masked_fill(background, num_classes)
        rows = torch.arange(len(points), device=points.device)
        return labels, distances[rows, chosen].masked_fill(background[:, None], 0.0)

    def _ranges(self, level_points: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Bounds (P, 1) of what is considered at each location."""
        ranges = self.level_ranges
        if len(ranges) != len(level_points):
            raise ValueError(
                f'level_ranges has {len(ranges)} entries for {len(level_points)} levels'
            )
        bounds = [
            points.new_tensor(pair).expand(len(points), 2)
            for points, pair in zip(level_points, ranges, strict=True)
        ]
        return torch.cat(bounds).split(1, dim=1)
