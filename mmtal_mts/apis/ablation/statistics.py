"""Means over folds and seeds, and paired differences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import t as student_t

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Spread:
    """A mean, and how far single values are from it.

    Attributes:
        mean (float): Of the values; NaN if there is none.
        deviation (float): Standard deviation of the sample (n - 1); NaN below two.
        count (int): How many values.
    """

    mean: float
    deviation: float
    count: int

    @property
    def error(self) -> float:
        """Standard error of the mean; NaN below two values."""
        return self.deviation / np.sqrt(self.count) if self.count > 1 else np.nan

    @property
    def half_width(self) -> float:
        """Half the confidence interval of the mean, by Student's t."""
        if self.count < 2:
            return np.nan
        return float(student_t.ppf((1 + CONFIDENCE) / 2, self.count - 1)) * self.error


@dataclass(frozen=True)
class PairedDifference:
    """A variant against the first one, with the same seeds on the same folds.

    Attributes:
        spread (Spread): Differences of the cross-validated values, one a seed.
        num_better (int): Pairs of single runs in which the variant is better.
        num_pairs (int): Such pairs.
    """

    spread: Spread
    num_better: int
    num_pairs: int


def spread(values: Sequence[float]) -> Spread:
    """Mean and standard deviation.

    Args:
        values (Sequence[float]): Any number.

    Returns:
        Spread: Of them.
    """
    values = np.asarray(values, float)
    return Spread(
        float(values.mean()) if len(values) else np.nan,
        float(values.std(ddof=1)) if len(values) > 1 else np.nan,
        len(values),
    )


def over_folds(
    values: Mapping[tuple[int, str], float], folds: Sequence[str]
) -> dict[int, float]:
    """The cross-validated value of each seed: the mean over all folds.

    A seed that lacks a fold is left out: folds differ more than variants.

    Args:
        values (Mapping[tuple[int, str], float]): By seed and fold.
        folds (Sequence[str]): All folds.

    Returns:
        dict[int, float]: By seed.
    """
    seeds = dict.fromkeys(seed for seed, _ in values)
    return {
        seed: float(np.mean([values[seed, fold] for fold in folds]))
        for seed in seeds
        if all((seed, fold) in values for fold in folds)
    }


def compare(
    values: Mapping[tuple[int, str], float],
    baseline: Mapping[tuple[int, str], float],
    folds: Sequence[str],
) -> PairedDifference:
    """Compares a variant with the first one, run by run.

    Args:
        values (Mapping[tuple[int, str], float]): Of the variant, by seed and fold.
        baseline (Mapping[tuple[int, str], float]): Of the first variant.
        folds (Sequence[str]): All folds.

    Returns:
        PairedDifference: Of the runs that both have.
    """
    pairs = {key: values[key] - baseline[key] for key in values if key in baseline}
    return PairedDifference(
        spread(list(over_folds(pairs, folds).values())),
        sum(difference > 0 for difference in pairs.values()),
        len(pairs),
    )
