"""Matching of all videos and classes at once against one detection at a time."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmtal_mts.evaluation.functional import matching
from mmtal_mts.evaluation.functional.matching import UNMATCHED, match_detections
from mmtal_mts.structures import pairwise_tiou

THRESHOLDS = np.array([0.1, 0.5, 1.0])


def match_one_by_one(segments, groups, targets, target_groups):
    """The definition: segment of each true positive (M, S)."""
    tiou = pairwise_tiou(segments, targets)
    taken_by = np.full((len(THRESHOLDS), len(segments)), UNMATCHED)
    for m, threshold in enumerate(THRESHOLDS):
        taken = set()
        for s, group in enumerate(groups):
            free = [
                (tiou[s, g], g)
                for g in range(len(targets))
                if target_groups[g] == group and g not in taken
            ]
            if free and max(free)[0] >= threshold:
                taken.add(max(free)[1])
                taken_by[m, s] = max(free)[1]
    return taken_by


def draw_segments(data, max_size):
    # Few values: many equal overlaps, touching, empty and reversed segments.
    number = st.integers(0, 6).map(float)
    pairs = st.lists(st.tuples(number, number, st.integers(0, 2)), max_size=max_size)
    rows = np.array(data.draw(pairs)).reshape(-1, 3)
    return rows[:, :2], rows[:, 2].astype(np.int64)


@pytest.mark.parametrize('chunk', [1, 5, 1000])
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_equals_matching_one_by_one(chunk, data):
    segments, groups = draw_segments(data, 20)
    targets, target_groups = draw_segments(data, 8)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(matching, '_CHUNK', chunk)
        found = match_detections(segments, groups, targets, target_groups, THRESHOLDS)
    expected = match_one_by_one(segments, groups, targets, target_groups)
    assert np.array_equal(found, expected)


def test_an_entangled_segment_goes_to_whoever_is_left_without():
    targets = np.array([[0.0, 10.0], [2.0, 12.0]])
    segments = np.array([[2.0, 12.0], [1.0, 11.0], [0.0, 9.0]])
    zeros = np.zeros(3, dtype=np.int64)
    found = match_detections(segments, zeros, targets, zeros[:2], THRESHOLDS)
    # The second overlaps both alike, and only the first target is left.
    both, exact = [1, 0, UNMATCHED], [1, UNMATCHED, UNMATCHED]
    assert found.tolist() == [both, both, exact]


def test_other_groups_do_not_count():
    segment = np.array([[0.0, 1.0]])
    one, two = np.array([1]), np.array([2])
    assert (match_detections(segment, one, segment, two, THRESHOLDS) == UNMATCHED).all()
    assert (match_detections(segment, one, segment, one, THRESHOLDS) == 0).all()
