"""Which segments are missed: the short, the long, those in a crowd?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from mmtal_mts.evaluation.functional.matching import UNMATCHED
from mmtal_mts.evaluation.functional.video_matching import Matching

from .characteristics import Characteristic


@dataclass(frozen=True)
class MissedByBucket:
    """How many segments are missed, by one characteristic.

    Attributes:
        characteristic (str): 'length', 'coverage' or 'instances'.
        buckets (tuple[str, ...]): B names.
        total (np.ndarray): (B,) segments in each.
        missed (np.ndarray): (M, B) of which no detection finds them, by threshold.
    """

    characteristic: str
    buckets: tuple[str, ...]
    total: np.ndarray = field(repr=False)
    missed: np.ndarray = field(repr=False)


def missed_by_characteristic(
    matching: Matching, characteristics: Sequence[Characteristic]
) -> list[MissedByBucket]:
    """Count the missed segments in the buckets of each characteristic.

    Args:
        matching (Matching): All segments and detections.
        characteristics (Sequence[Characteristic]): Of the same segments.

    Returns:
        list[MissedByBucket]: One for each characteristic.
    """
    missed = np.ones((len(matching.matched), len(matching.truth_labels)), dtype=bool)
    for row, matched in enumerate(matching.matched):
        missed[row, matched[matched != UNMATCHED]] = False
    return [
        MissedByBucket(
            one.name,
            one.buckets,
            one.total,
            np.stack([one.count(row) for row in missed]),
        )
        for one in characteristics
    ]
