from __future__ import annotations

import torch
from mmaction.registry import TASK_UTILS
from torch import Tensor


@TASK_UTILS.register_module()
class BoundaryRegionGenerator:
    """Regions around the coarse boundaries, from which the refine head pools.

    A boundary's region reaches ``inside`` of the segment's length into the segment
    and ``outside`` of it out of the segment, at least one position each (AFSD). Bounds
    are rounded half to even and not clamped.

    Args:
        inside: Share of the length that lies within the segment.
        outside: Share of the length that lies outside.
    """

    def __init__(self, inside: float = 1 / 4, outside: float = 1 / 10) -> None:
        self.inside = inside
        self.outside = outside

    def frame_regions(self, points: Tensor, distances: Tensor) -> Tensor:
        """Regions on the frame-level feature.

        Args:
            points: (P,) location centres in sampled frames.
            distances: (N, P, 2) coarse distances in sampled frames.

        Returns:
            (N, P, 4): first and last frame of the start region, then of the end
            region.
        """
        start = points - distances[..., 0]
        end = points + distances[..., 1]
        return self.segment_regions(torch.stack([start, end], dim=-1))

    def segment_regions(self, segments: Tensor) -> Tensor:
        """Regions of given segments on the frame-level feature.

        Args:
            segments: (..., 2) in sampled frames.

        Returns:
            (..., 4), see :meth:`frame_regions`.
        """
        start, end = segments.unbind(-1)
        return self._regions(start, end, end - start + 1)

    def level_regions(self, distances: Tensor, num_frames: int) -> Tensor:
        """Regions on one pyramid level.

        Position i of the level stands for itself here, not for its centre i + 0.5:
        AFSD's convention, kept for parity.

        Args:
            distances: (N, T_l, 2) coarse distances of the level's locations in
                sampled frames.
            num_frames: Frames T of the clip.

        Returns:
            (N, T_l, 4) in cells of the level.
        """
        length = distances.shape[1]
        cells = distances * (length / num_frames)
        position = torch.arange(length, device=distances.device)
        start = position - cells[..., 0]
        end = position + cells[..., 1]
        return self._regions(start, end, cells.sum(-1))

    def _regions(self, start: Tensor, end: Tensor, length: Tensor) -> Tensor:
        inside = (length * self.inside).clamp(min=1)
        outside = (length * self.outside).clamp(min=1)
        return torch.stack(
            [start - outside, start + inside, end - inside, end + outside], dim=-1
        ).round()
