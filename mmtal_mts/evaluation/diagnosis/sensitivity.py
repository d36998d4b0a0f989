"""How much the mAP depends on what the segments are like.

After Alwassel et al., "Diagnosing Error in Temporal Action Detectors" (ECCV 2018), who
follow Hoiem et al., "Diagnosing Error in Object Detectors" (ECCV 2012).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from mmtal_mts.evaluation.functional.matching import UNMATCHED
from mmtal_mts.evaluation.functional.mean_ap import average_precision
from mmtal_mts.evaluation.functional.video_matching import Matching

from .characteristics import Characteristic


@dataclass(frozen=True)
class Sensitivity:
    """The normalised mAP on the segments of each bucket of one characteristic.

    Attributes:
        characteristic (str): 'length', 'coverage' or 'instances'.
        buckets (tuple[str, ...]): B names.
        total (np.ndarray): (B,) segments in each.
        mean_ap (np.ndarray): (M, B) normalised mAP by threshold; NaN for a bucket
            without a segment.
        overall (np.ndarray): (M,) normalised mAP on all segments.
    """

    characteristic: str
    buckets: tuple[str, ...]
    total: np.ndarray = field(repr=False)
    mean_ap: np.ndarray = field(repr=False)
    overall: np.ndarray = field(repr=False)

    @property
    def average(self) -> np.ndarray:
        """Average (B,) over the thresholds."""
        return self.mean_ap.mean(axis=0)

    @property
    def relative_change(self) -> np.ndarray:
        """Change (B,) of the average, as a part of that on all segments.

        -0.2: a fifth lower. NaN if nothing at all is found.
        """
        overall = self.overall.mean()
        if not overall:
            return np.full(len(self.total), np.nan)
        return self.average / overall - 1

    @property
    def spread(self) -> float:
        """The paper's sensitivity: average on the best minus that on the worst."""
        return float(np.nanmax(self.average) - np.nanmin(self.average))

    @property
    def impact(self) -> float:
        """Average on the best bucket minus that on all segments.

        What a detector would gain if it were as good on all other buckets.
        """
        return float(np.nanmax(self.average) - self.overall.mean())


def normalized_mean_ap(matching: Matching, segments: np.ndarray) -> np.ndarray:
    """The mAP on some segments, as if every class had equally many.

    Precision depends on how many segments there are to find: ``R N / (R N + F)`` with
    the recall ``R``, ``F`` false positives, and the same number ``N`` for every class
    and every choice of segments, that of all segments over that of all classes, makes
    numbers comparable. A detection that finds a segment that is not among the chosen
    ones is left out; one that finds nothing is a false positive.

    Args:
        matching (Matching): All segments and detections.
        segments (np.ndarray): (G,) bool, which of the segments.

    Returns:
        np.ndarray: (M,) over the classes that have one of the segments; NaN without a
        segment.
    """
    positives = np.bincount(
        matching.truth_labels[segments], minlength=matching.num_classes
    )
    if not positives.any():
        return np.full(len(matching.matched), np.nan)
    usual = len(matching.truth_labels) / np.count_nonzero(matching.positives)
    values = []
    for matched in matching.matched:
        hits = matched != UNMATCHED
        # UNMATCHED picks any segment, which does not matter to what is no hit.
        keep = ~hits | segments[matched]
        ap = average_precision(
            hits[None, keep], matching.labels[keep], positives, usual_positives=usual
        )
        values.append(np.nanmean(ap))
    return np.array(values)


def sensitivity_by_characteristic(
    matching: Matching, characteristics: Sequence[Characteristic]
) -> list[Sensitivity]:
    """The normalised mAP in the buckets of each characteristic.

    Args:
        matching (Matching): All segments and detections.
        characteristics (Sequence[Characteristic]): Of the same segments.

    Returns:
        list[Sensitivity]: One for each characteristic.
    """
    overall = normalized_mean_ap(matching, np.ones(len(matching.truth_labels), bool))
    return [
        Sensitivity(
            one.name,
            one.buckets,
            one.total,
            np.stack(
                [
                    normalized_mean_ap(matching, one.bucket == bucket)
                    for bucket in range(len(one.buckets))
                ],
                axis=1,
            ),
            overall,
        )
        for one in characteristics
    ]
