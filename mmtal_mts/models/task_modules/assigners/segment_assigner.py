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
        segments = segments.to(points)
        left = points[:, None] - segments[None, :, 0]  # (P, G)
        right = segments[None, :, 1] - points[:, None]
        candidate = (left >= 0) & (right >= 0)
        if self.level_ranges is not None:
            low, high = self._ranges(level_points)
            reach = torch.maximum(left, right)
            candidate &= (reach > low[:, None]) & (reach <= high[:, None])
        length = (left + right).masked_fill(~candidate, torch.inf)
        # argmin does not promise the first of equal values, a sorted cummin would be
        # dearer than comparing: pick the first index that equals the minimum.
        shortest = length.min(dim=1, keepdim=True).values
        chosen = (length == shortest).float().argmax(dim=1)  # (P,)
        positive = candidate.any(dim=1)
        assigned = labels.to(points.device)[chosen].masked_fill(~positive, num_classes)
        distances = torch.stack([left, right], -1)[
            torch.arange(len(points), device=points.device), chosen
        ]
        return assigned, distances.masked_fill(~positive[:, None], 0.0)

    def _ranges(self, level_points: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        ranges = self.level_ranges
        if len(ranges) != len(level_points):
            raise ValueError(
                f'level_ranges has {len(ranges)} entries for {len(level_points)} levels'
            )
        pairs = [
            points.new_tensor(bounds).expand(len(points), 2)
            for points, bounds in zip(level_points, ranges, strict=True)
        ]
        low, high = torch.cat(pairs).unbind(-1)
        return low, high
