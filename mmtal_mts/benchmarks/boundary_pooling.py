"""Boundary max pooling, forward and backward."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from mmtal_mts.ops import compiled_ops_problem
from mmtal_mts.ops.compiled import compiled_max_pooling
from mmtal_mts.ops.vectorized_pooling import vectorized_max_pooling

from .timing import Case


def pool_segment_by_segment(features: Tensor, segments: Tensor) -> Tensor:
    """Baseline: a slice and a maximum for every region.

    Args:
        features: (N, C, T).
        segments: (N, S, 4).

    Returns:
        (N, C, S).
    """
    length = features.shape[2]
    halves = features.chunk(2, dim=1)
    clips = []
    for clip, regions in enumerate(segments.tolist()):
        columns = []
        for region in regions:
            parts = []
            for half, bounds in zip(halves, (region[:2], region[2:])):
                first, last = (min(max(int(b), 0), length - 1) for b in bounds)
                stretch = half[clip, :, first : max(first, last) + 1]
                parts.append(stretch.max(dim=1).values)
            columns.append(torch.cat(parts))
        clips.append(torch.stack(columns, dim=1))
    return torch.stack(clips)


def boundary_pooling_cases(
    device: str = 'cpu',
    channels: int = 1024,
    num_frames: int = 256,
    num_segments: int = 126,
) -> list[Case]:
    """The alternatives on one clip; an item is one forward and backward pass.

    Args:
        device: Where to run.
        channels: Channels of the feature.
        num_frames: Length T of the feature.
        num_segments: Segments S; 126 are the locations of 256 frames.

    Returns:
        The loop over the segments, the vectorised torch version, and the compiled one
        where it was built.
    """
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(1, channels, num_frames, generator=generator)
    features = features.to(device).requires_grad_()
    centre = torch.rand(1, num_segments, 1, generator=generator) * num_frames
    length = torch.rand(1, num_segments, 1, generator=generator) * num_frames / 2 + 4
    start, end = centre - length / 2, centre + length / 2
    inside, outside = length / 4, length / 10
    regions = [start - outside, start + inside, end - inside, end + outside]
    segments = torch.cat(regions, -1).round().to(device)
    weight = torch.randn(1, channels, num_segments, generator=generator).to(device)

    def both_ways(pool: Callable[[Tensor, Tensor], Tensor]) -> Callable[[], None]:
        def run() -> None:
            features.grad = None
            pool(features, segments).backward(weight)

        return run

    cases = [
        Case('loop over the segments', both_ways(pool_segment_by_segment)),
        Case('vectorised torch', both_ways(vectorized_max_pooling)),
    ]
    if compiled_ops_problem(torch.device(device).type) is None:
        cases.append(Case('compiled', both_ways(compiled_max_pooling)))
    return cases
