"""The tiny model of the quick start at a size for tests."""

from __future__ import annotations

from collections.abc import Callable

import pytest


def _shrink(
    model: dict, num_levels: int, width: float, in_channels: tuple[int, int]
) -> None:
    """Clips of 32 frames of 32x32 pixels, 16 channels."""
    model.backbone.width = width
    levels = dict(num_levels=num_levels, num_groups=4)
    model.neck.pyramid.update(
        in_channels=in_channels, spatial_sizes=(2, 1), out_channels=16, **levels
    )
    small = dict(crop_size=32, patch_size=16, embed_dims=16, out_channels=16)
    model.neck.stt.update(clip_len=32, **levels, **small)
    model.neck.frame_feature.update(channels=16, num_groups=4)
    factors = tuple(4 * 2**level for level in range(num_levels))
    model.coarse_head.update(channels=16, distance_factors=factors, **levels)
    model.refine_head.update(channels=16, num_groups=4)
    model.refine_head.fsa.update(**small)


@pytest.fixture
def shrink() -> Callable[..., None]:
    """Makes the config of a network small, in place."""
    return _shrink
