"""Segments with labels and scores, and their temporal IoU, in numpy."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class Segments:
    """Actions of one video or window: annotated ones, or detections with scores.

    Whatever is handed over is brought to the dtypes and shapes below. The unit of time
    is the user's; everything that this package stores or returns is in seconds of the
    video.

    Attributes:
        segments: (S, 2) float64 start and end.
        labels: (S,) int64 indices into the classes.
        scores: (S,) float64; None for annotated actions.

    Raises:
        ValueError: The arrays have different lengths.
    """

    segments: np.ndarray
    labels: np.ndarray
    scores: np.ndarray | None = None

    def __post_init__(self) -> None:
        """Brings the arrays to their dtypes and shapes."""
        arrays = dict(
            segments=np.asarray(self.segments, np.float64).reshape(-1, 2),
            labels=np.asarray(self.labels, np.int64).reshape(-1),
        )
        if self.scores is not None:
            arrays['scores'] = np.asarray(self.scores, np.float64).reshape(-1)
        lengths = {name: len(value) for name, value in arrays.items()}
        if len(set(lengths.values())) > 1:
            raise ValueError(f'as many of each are needed per segment, got {lengths}')
        # The class is frozen for its users; this is its constructor.
        vars(self).update(arrays)

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: np.ndarray | slice) -> Segments:
        """The segments that a mask, a slice or positions select."""
        scores = None if self.scores is None else self.scores[index]
        return Segments(self.segments[index], self.labels[index], scores)

    @classmethod
    def empty(cls, with_scores: bool = False) -> Segments:
        """No segment."""
        return cls(np.zeros((0, 2)), np.zeros(0), np.zeros(0) if with_scores else None)

    @classmethod
    def concatenate(cls, parts: Iterable[Segments]) -> Segments:
        """All segments of ``parts``, in order; they have scores if all parts have.

        Args:
            parts: All with scores, or all without. No part gives no segment, with
                scores.

        Raises:
            ValueError: Some parts have scores and some have none.
        """
        parts = list(parts) or [cls.empty(with_scores=True)]
        columns = zip(*((p.segments, p.labels, p.scores) for p in parts), strict=True)
        segments, labels, scores = columns
        if len({part is None for part in scores}) > 1:
            raise ValueError('segments with and without scores cannot be joined')
        return cls(
            np.concatenate(segments),
            np.concatenate(labels),
            None if scores[0] is None else np.concatenate(scores),
        )


def pairwise_tiou(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Temporal intersection over union of every segment of ``a`` with ``b``.

    A segment without a positive length (its end at or before its start) overlaps
    nothing: its tIoU is 0 with everything, itself included, and never NaN.

    Args:
        a: Segments (A, 2) as start, end, in any one unit of time.
        b: Segments (B, 2) in the same unit.

    Returns:
        tIoU (A, B), float64, in [0, 1].
    """
    a, b = (np.asarray(x, dtype=np.float64).reshape(-1, 2) for x in (a, b))
    return aligned_tiou(a[:, None], b)


def aligned_tiou(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """:func:`pairwise_tiou`, but of each segment of ``a`` with its partner in ``b``.

    Args:
        a: Segments (A, 2) as start, end, in any one unit of time.
        b: Segments (A, 2) in the same unit.

    Returns:
        tIoU (A,), float64, in [0, 1].
    """
    a, b = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    left, right = np.maximum(a[..., 0], b[..., 0]), np.minimum(a[..., 1], b[..., 1])
    overlap = np.maximum(right - left, 0.0)
    union = (a[..., 1] - a[..., 0]) + (b[..., 1] - b[..., 0]) - overlap
    # A positive overlap implies two positive lengths, hence a positive union.
    return np.divide(overlap, union, out=np.zeros_like(overlap), where=overlap > 0)
