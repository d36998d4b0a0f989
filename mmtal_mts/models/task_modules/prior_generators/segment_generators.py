"""What the heads start from: points, regions around boundaries, boundary curves."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from mmaction.registry import TASK_UTILS
from torch import Tensor


@TASK_UTILS.register_module()
class SegmentPointGenerator:
    """Centres of the pyramid's locations in sampled frames.

    Position i of a level with T_l positions over T frames is centred at
    ``(i + 0.5) T / T_l``.
    """

    def level_points(
        self,
        level_lengths: Sequence[int],
        num_frames: int,
        device: torch.device | str = 'cpu',
    ) -> list[Tensor]:
        """Centres level by level.

        Args:
            level_lengths: T_l of every level, finest first.
            num_frames: Frames T of the clip.
            device: Where to create them.

        Returns:
            L tensors (T_l,) float32.
        """
        return [
            (torch.arange(length, device=device) + 0.5) * (num_frames / length)
            for length in level_lengths
        ]


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
        before, after = distances.unbind(-1)
        return self.segment_regions(torch.stack([points - before, points + after], -1))

    def segment_regions(self, segments: Tensor) -> Tensor:
        """Regions (..., 4) of segments (..., 2) in sampled frames; as above."""
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
        start, end = position - cells[..., 0], position + cells[..., 1]
        return self._regions(start, end, cells.sum(-1))

    def _regions(self, start: Tensor, end: Tensor, length: Tensor) -> Tensor:
        inside = (length * self.inside).clamp(min=1)
        outside = (length * self.outside).clamp(min=1)
        bounds = [start - outside, start + inside, end - inside, end + outside]
        return torch.stack(bounds, dim=-1).round()


@TASK_UTILS.register_module()
class BoundaryCurveGenerator:
    """Where starts and ends are, as 0/1 curves over the frames of a clip (AFSD).

    A boundary is a stretch around its instant, ``share`` of the action long but not
    shorter than ``min_length`` frames; its ends are rounded half to even, both
    included, and clamped to the clip.

    Args:
        share: Length of the stretch in lengths of the action.
        min_length: Shortest stretch in sampled frames.
    """

    def __init__(self, share: float = 0.1, min_length: float = 2.0) -> None:
        self.share = share
        self.min_length = min_length

    def curves(self, segments: Tensor, num_frames: int) -> Tensor:
        """Draws the curves of one clip.

        Args:
            segments: (G, 2) ground truth in sampled frames of the clip.
            num_frames: Frames T of the clip.

        Returns:
            (2, T) float32: start curve, end curve.
        """
        # Double precision, so that the last bit does not decide a rounding.
        segments = segments.double().reshape(-1, 2)
        lengths = segments.diff(dim=1)  # (G, 1)
        half = (lengths * self.share).clamp(min=self.min_length) / 2
        first, final = (
            bounds.round().clamp(0, num_frames - 1)  # (G, 2)
            for bounds in (segments - half, segments + half)
        )
        frame = torch.arange(num_frames, device=segments.device)[:, None, None]
        inside = (frame >= first) & (frame <= final)  # (T, G, 2)
        return inside.any(dim=1).T.float()
