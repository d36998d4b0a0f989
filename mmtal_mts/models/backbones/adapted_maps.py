"""Decides how the maps of a backbone become the first levels of a pyramid."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple


class MapFacts(NamedTuple):
    """What a neck has to know of a map.

    Attributes:
        channels: Channels C_i.
        stride: Frames per position in time.
        size: Cells H_i = W_i on a side.
    """

    channels: int
    stride: int
    size: int


class AdaptedMap(NamedTuple):
    """One map of a backbone and what is averaged in it.

    Attributes:
        index: Which of the backbone's maps.
        channels: Channels.
        clip_len: Frames that it was found with.
        length: Positions in time after averaging.
        size: Cells on a side after averaging.
        kernel: Positions in time, rows and columns that are averaged into one.
    """

    index: int
    channels: int
    clip_len: int
    length: int
    size: int
    kernel: tuple[int, int, int]

    def explain(self) -> str:
        """One line about it.

        Returns:
            What came out of the backbone and what became of it.
        """
        t, h, w = self.kernel
        found = self.length * t
        text = (
            f'output {self.index}, {self.channels} channels, {found} positions in time '
            f'(one per {self.clip_len / found:g} frames) of {self.size * h}x'
            f'{self.size * w} cells'
        )
        if self.kernel == (1, 1, 1):
            return f'{text}, taken as it is'
        return (
            f'{text}; the mean of {t}x{h}x{w} gives {self.length} of {self.size}x'
            f'{self.size} (one per {self.clip_len // self.length} frames)'
        )


def plan_maps(
    name: str,
    shapes: Sequence[tuple[int, ...]],
    clip_len: int,
    first_stride: int | None,
    max_size: int,
    outputs: Sequence[int] | None = None,
) -> list[AdaptedMap]:
    """Chooses the averages that give map i one position per 2**i first strides.

    Args:
        name: Of the backbone, for messages.
        shapes: (N, C, T', H', W') of the maps of one clip.
        clip_len: Frames of the clip.
        first_stride: Frames per position of the first map; None: as few as possible.
        max_size: Most cells on a side.
        outputs: Indices of the maps to use; None: all.

    Returns:
        The maps, finest first; of equally fine ones the first output first.

    Raises:
        ValueError: A map is too coarse for its level, or does not divide.
    """
    if outputs is None:
        outputs = range(len(shapes))
    wrong = [i for i in outputs if not 0 <= i < len(shapes)]
    if wrong or not list(outputs):
        raise ValueError(
            f'outputs={list(outputs)} of BackboneAdapter: {name} returns '
            f'{len(shapes)} maps, numbered from 0'
        )
    chosen = sorted(outputs, key=lambda i: -shapes[i][2])  # stable
    coarsest = [shapes[i][2] * 2**level for level, i in enumerate(chosen)]
    finest = min(coarsest)  # most positions that the first map can have
    if first_stride is None:
        first_stride = 1
        while first_stride * finest < clip_len:
            first_stride *= 2
    if first_stride < 1 or first_stride & (first_stride - 1):
        raise ValueError(
            f'first_stride={first_stride} of BackboneAdapter must be a power of two'
        )
    return [
        _plan_map(name, i, shapes[i], clip_len, first_stride * 2**level, max_size)
        for level, i in enumerate(chosen)
    ]


def _plan_map(
    name: str,
    index: int,
    shape: tuple[int, ...],
    clip_len: int,
    stride: int,
    max_size: int,
) -> AdaptedMap:
    _, channels, found, height, width = shape
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
            f'(one per {stride} frames): set first_stride of BackboneAdapter to None '
            f'or to at least {_next_power(-(-clip_len // found))}, take a finer layer '
            'by layers=(...) or outputs=(...), or lower the stride of the backbone in '
            'time'
        )
    if height != width:
        raise ValueError(
            f'map {index} of {name} has {height}x{width} cells; square ones are needed'
        )
    shrink = _space_kernel(height, max_size)
    return AdaptedMap(
        index,
        channels,
        clip_len,
        length,
        height // shrink,
        (found // length, shrink, shrink),
    )


def _space_kernel(size: int, max_size: int) -> int:
    """The smallest divisor of the size that leaves at most ``max_size`` cells."""
    return next(k for k in range(1, size + 1) if not size % k and size // k <= max_size)


def _next_power(value: int) -> int:
    return 1 << (value - 1).bit_length()
