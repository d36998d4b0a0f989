"""Distances and offsets to segments and back."""

from __future__ import annotations

import torch
from mmaction.registry import TASK_UTILS
from torch import Tensor

_EPS = torch.finfo(torch.float32).eps


@TASK_UTILS.register_module()
class SegmentCoder:
    """Segments as coarse distances from a location and offsets to them (eq. 13).

    Offsets are changes of the distances in units of half the coarse length.
    """

    def encode(self, distances: Tensor, target: Tensor) -> Tensor:
        """The offsets (..., 2) that :meth:`refine` needs to reach the target.

        Args:
            distances: (..., 2) coarse distances to start and end, positive.
            target: (..., 2) distances of the ground truth.
        """
        half = (0.5 * distances.sum(-1, keepdim=True)).clamp(min=_EPS)
        return (target - distances) / half

    def refine(self, distances: Tensor, offsets: Tensor) -> Tensor:
        """Coarse distances (..., 2), offsets (..., 2) -> refined distances (..., 2)."""
        return distances + 0.5 * distances.sum(-1, keepdim=True) * offsets

    def decode(
        self, points: Tensor, distances: Tensor, offsets: Tensor, num_frames: int
    ) -> Tensor:
        """The segments that the refined distances describe.

        Args:
            points: (P,) location centres in sampled frames.
            distances: (N, P, 2) coarse distances in sampled frames.
            offsets: (N, P, 2).
            num_frames: Frames T of the clip, to which segments are clamped.

        Returns:
            (N, P, 2) start and end in sampled frames of the clip.
        """
        before, after = self.refine(distances, offsets).unbind(-1)
        points = points.to(before)
        segments = torch.stack([points - before, points + after], dim=-1)
        return segments.clamp(0, num_frames)
