from __future__ import annotations

import torch
from mmaction.registry import TASK_UTILS
from torch import Tensor


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
        # Double precision, so that a rounding does not hang on the last bit.
        segments = segments.double().reshape(-1, 2)
        length = segments[:, 1] - segments[:, 0]
        half = (length * self.share).clamp(min=self.min_length)[:, None] / 2  # (G, 1)
        last = num_frames - 1
        first = (segments - half).round().clamp(0, last)  # (G, 2)
        final = (segments + half).round().clamp(0, last)
        frame = torch.arange(num_frames, device=segments.device)[:, None, None]
        inside = (frame >= first) & (frame <= final)  # (T, G, 2)
        return inside.any(dim=1).T.float()
