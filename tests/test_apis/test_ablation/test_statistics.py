"""Means, standard deviations, paired differences: against numbers worked by hand."""

from __future__ import annotations

import math

import pytest

from mmtal_mts.apis.ablation.statistics import compare, over_folds, spread

FOLDS = ('a', 'b')


def test_spread_of_three_values():
    at = spread([1.0, 2.0, 6.0])
    assert at.mean == 3 and at.count == 3
    # Squares of -2, -1, 3 are 14 together, over n - 1.
    assert at.deviation == pytest.approx(math.sqrt(7))
    assert at.error == pytest.approx(math.sqrt(7 / 3))
    # 4.3027: Student's t for 95 % and two degrees of freedom, from a printed table.
    assert at.half_width == pytest.approx(4.3027 * math.sqrt(7 / 3), rel=1e-4)


def test_one_value_has_no_spread():
    at = spread([5.0])
    assert at.mean == 5 and math.isnan(at.deviation)
    assert math.isnan(at.error) and math.isnan(at.half_width)
    assert math.isnan(spread([]).mean) and spread([]).count == 0


def test_a_seed_without_all_folds_is_left_out():
    values = {(0, 'a'): 1.0, (0, 'b'): 3.0, (1, 'a'): 100.0}
    assert over_folds(values, FOLDS) == {0: 2.0}


def test_differences_are_paired():
    baseline = {(0, 'a'): 1.0, (0, 'b'): 9.0, (1, 'a'): 2.0, (1, 'b'): 8.0}
    better = {key: value + 0.5 for key, value in baseline.items()}
    better[1, 'b'] -= 2.0
    found = compare(better, baseline, FOLDS)
    # Seed 0 gains 0.5 on both folds, seed 1 0.5 and -1.5.
    assert found.spread.mean == pytest.approx(0.0)
    assert found.spread.deviation == pytest.approx(math.sqrt(0.5))
    assert (found.num_better, found.num_pairs) == (3, 4)
    del better[1, 'b'], better[1, 'a']
    found = compare(better, baseline, FOLDS)
    assert found.spread.count == 1 and found.num_pairs == 2
