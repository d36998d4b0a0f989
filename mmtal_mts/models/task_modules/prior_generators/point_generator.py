"""Centres of the locations."""

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
