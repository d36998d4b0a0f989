"""Decides how the maps of a backbone become the first levels of a pyramid."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple


class MapFacts(NamedTuple):
    """What a neck has to know of a map, and how the map comes about.

    Attributes:
        channels: Channels C_i.
        stride: Frames per position in time.
        size: Cells H_i = W_i on a side.
        index: Which output of the backbone it is made of.
        kernel: Positions in time, rows and columns that are averaged into one.
    """

    channels: int
    stride: int
    size: int
    index: int = 0
    kernel: tuple[int, int, int] = (1, 1, 1)

    def explain(self, clip_len: int) -> str:
        """One line on the output for a clip of that length, and what is averaged."""
        t, h, w = self.kernel
        length = clip_len // self.stride
        mean = f', mean of {t}x{h}x{w}' if self.kernel != (1, 1, 1) else ''
        return (
            f'output {self.index}, {self.channels} channels, '
            f'{length * t}x{self.size * h}x{self.size * w}{mean} -> '
            f'{length}x{self.size}x{self.size}, one position per {self.stride} frames'
        )


def plan_maps(
    name: str,
    shapes: Sequence[tuple[int, ...]],
    clip_len: int,
    first_stride: int | None,
    max_size: int,
    outputs: Sequence[int] | None = None,
) -> tuple[MapFacts, ...]:
    """Chooses the averages that give map i one position per 2**i first strides.

    Args:
        name: Of the backbone, for messages.
        shapes: (N, C, T', H', W') of the maps of one clip.
        clip_len: Frames of the clip.
        first_stride: See :class:`.BackboneAdapter`, as ``max_size`` and ``outputs``.
        max_size: See above.
        outputs: See above.

    Returns:
        The maps, finest first; of equally fine ones the first output first.

    Raises:
        ValueError: A map is too coarse for its level, or does not divide.
    """
    outputs = list(range(len(shapes)) if outputs is None else outputs)
    if not outputs or not set(outputs) <= set(range(len(shapes))):
        raise ValueError(
            f'outputs={outputs} of BackboneAdapter: {name} returns {len(shapes)} maps, '
            'numbered from 0'
        )
    chosen = sorted(outputs, key=lambda i: -shapes[i][2])  # stable
    if first_stride is None:
        # The most positions that the first map can have.
        finest = min(shapes[i][2] * 2**level for level, i in enumerate(chosen))
        first_stride = _next_power(-(-clip_len // finest))
    if first_stride < 1 or first_stride & (first_stride - 1):
        raise ValueError(
            f'first_stride={first_stride} of BackboneAdapter must be a power of two'
        )
    maps = []
    for level, index in enumerate(chosen):
        _, channels, found, height, width = shapes[index]
        stride = first_stride * 2**level
        length = clip_len // stride
        if length < 1 or clip_len % stride:
            raise ValueError(
                f'a clip of {clip_len} frames is too short or no multiple of the '
                f'{stride} frames per position that map {index} of {name} should have: '
                'enlarge clip_len, or lower first_stride of BackboneAdapter'
            )
        if found < length or found % length:
            raise ValueError(
                f'map {index} of {name} has {found} positions in time for {clip_len} '
                f'frames, from which no mean gives the {length} positions of its level '
                f'(one per {stride} frames): set first_stride of BackboneAdapter to '
                f'None or to at least {_next_power(-(-clip_len // found))}, take a '
                'finer layer by layers=(...) or outputs=(...), or lower the stride of '
                'the backbone in time'
            )
        if height != width:
            raise ValueError(
                f'map {index} of {name} has {height}x{width} cells; square ones are '
                'needed'
            )
        # The smallest divisor that leaves at most max_size cells on a side.
        shrink = next(k for k in range(1, height + 1) if _fits(height, k, max_size))
        kernel = (found // length, shrink, shrink)
        maps.append(MapFacts(channels, stride, height // shrink, index, kernel))
    return tuple(maps)


def _fits(size: int, divisor: int, max_size: int) -> bool:
    return size % divisor == 0 and size // divisor <= max_size


def _next_power(value: int) -> int:
    return 1 << (value - 1).bit_length()
