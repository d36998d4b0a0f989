from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from mmaction.registry import MODELS
from mmengine.model import BaseModule
from torch import Tensor


@MODELS.register_module()
class RefinedFeaturePyramid(BaseModule):
    """RFP: passes semantics from coarse levels to fine ones (Sec. III-B).

    Each level receives the one above it, ``f_l = p_l + nearest_up(p_{l+1})``, without
    parameters. ``num_merges=1`` adds level 1 into level 0 and nothing else, which is
    what the AFSD baseline does; ``num_merges=0`` leaves the pyramid as it is.

    Args:
        num_merges: How many of the finest levels receive the level above them.
            ``None`` merges all levels.
        cumulative: Pass on what has been received as well, top-down, as an FPN does:
            ``f_l = p_l + nearest_up(f_{l+1})``. The finest level is then the sum of
            all. The text of the paper allows both; docs/benchmark.md compares them.
    """

    def __init__(self, num_merges: int | None = None, cumulative: bool = False) -> None:
        super().__init__()
        if num_merges is not None and num_merges < 0:
            raise ValueError(f'num_merges={num_merges}: use None or a number >= 0')
        self.num_merges = num_merges
        self.cumulative = cumulative

    def forward(self, levels: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """(N, C', T_l) per level, finest first -> the same shapes."""
        refined = list(levels)
        merges = len(levels) - 1
        if self.num_merges is not None:
            merges = min(merges, self.num_merges)
        for i in reversed(range(merges)):
            above = (refined if self.cumulative else levels)[i + 1]
            refined[i] = refined[i] + F.interpolate(above, size=refined[i].shape[-1])
        return tuple(refined)
