"""Error kinds and what fixing them brings, on cases done by hand."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmtal_mts.evaluation.diagnosis import (
    ERROR_KINDS,
    FIXES,
    KINDS,
    diagnose,
)
from mmtal_mts.evaluation.functional import mean_average_precision
from mmtal_mts.structures import Segments

A, B = 0, 1


FOUND = {
    'v': Segments(
        [[60, 70], [0, 10], [0, 9], [20, 30], [20, 24], [42, 46]],
        [A, A, A, A, B, B],
        [0.4, 0.9, 0.8, 0.7, 0.6, 0.5],
    )
}


@pytest.fixture(scope='module')
def truth(video):
    return {'v': video([[0, 10], [40, 50], [20, 30]], [A, A, B])}


@pytest.fixture(scope='module')
def by_hand(truth):
    return diagnose(['a', 'b'], truth, FOUND, [0.5])


def test_each_detection_is_of_the_kind_that_was_made_up_for_it(by_hand):
    assert dict(zip(KINDS, by_hand.kinds[0].tolist(), strict=True)) == dict.fromkeys(
        KINDS, 1
    )
    assert by_hand.mixed_up.tolist() == [[0, 0], [1, 0]]
    assert by_hand.top_mix_ups() == [('b', 'a', 1)]


def test_the_kinds_move_with_the_threshold(truth):
    # The doubled and the localized detection have tIoU 0.9 and 0.4.
    kinds = diagnose(['a', 'b'], truth, FOUND, [0.3, 0.95]).kinds
    # At 0.3 the short detections find their segment or would with another label.
    assert kinds[0].tolist() == [2, 1, 2, 0, 0, 1]
    assert kinds[1].tolist() == [1, 0, 1, 2, 1, 1]


def test_fixing_one_kind_gives_the_map_computed_by_hand(by_hand):
    # Class a has one of two segments at rank 1 of 4: AP 1/2. Class b has none.
    assert by_hand.mean_ap.tolist() == [0.25]
    assert json.loads(json.dumps(by_hand.to_json()))['mAP_if_fixed'] == {
        'double_detection': [0.25],
        'wrong_label': [0.75],  # class b is found at rank 1
        'localization': [0.75],  # the same, by its own detection
        'confusion': [0.375],  # the second of class a at rank 4: (1 + 2/4) / 2
        'background': [0.25],
        'missed': [1.0],
        'any_false_positive': [0.25],
    }
    # The only true positive is the best already.
    assert by_hand.to_json()['mAP_if_removed'] == {kind: [0.25] for kind in ERROR_KINDS}


def test_a_segment_is_given_to_the_best_detection_only_and_not_if_it_is_found(video):
    truth = {'v': video([[0, 10], [20, 30]], [A, A])}
    # The first is found with score 0.5; two detections would be right for the second.
    found = {
        'v': Segments(
            [[0, 4], [0, 10], [20, 24], [26, 30]], [A, A, A, A], [0.9, 0.5, 0.4, 0.3]
        )
    }
    result = diagnose(['a'], truth, found, [0.5])
    assert result.kinds[0].tolist() == [1, 0, 0, 3, 0, 0]
    # Left: 0.5 finds the first, 0.4 the second.
    fixed = dict(zip(FIXES, result.fixed[0], strict=True))
    assert fixed['localization'] == 1.0
    assert result.mean_ap[0] == 0.25
    assert dict(zip(ERROR_KINDS, result.removed[0], strict=True))['localization'] == 0.5


def test_bands_count_places_in_units_of_the_segments_of_a_class(by_hand):
    # Class a: 2 segments, ranks TP double | wrong background; class b: 1 segment,
    # ranks localization | confusion.
    first, second, *rest = by_hand.profile[0].tolist()
    assert first == [1, 1, 0, 1, 0, 0]
    assert second == [0, 0, 1, 0, 1, 1]
    assert not np.any(rest)


def test_boundaries_of_true_positives(video):
    truth = {'v': video([[0, 10], [20, 30]], [A, A])}
    found = {'v': Segments([[1, 10], [20, 27], [50, 60]], [A, A, A], [0.9, 0.8, 0.7])}
    errors = diagnose(['a'], truth, found, [0.5]).to_json()['boundary_error_s']
    assert errors == {
        'start': {'median_absolute': 0.5, 'median': 0.5},
        'end': {'median_absolute': 1.5, 'median': -1.5},
    }


def test_missed_segments_by_length_coverage_and_instances(video):
    truth = {
        'long': video([[0, 10], [10, 40]], [A, A], 100.0),
        'short': video([[0, 4]], [A], 4.0),
    }
    found = {'long': Segments([[10, 40]], [A], [1.0])}
    edges = dict(length=[4, 20], coverage=[0.2, 0.5], instances=[1])
    length, coverage, instances = diagnose(
        ['a'], truth, found, [0.5, 0.9], edges=edges
    ).buckets
    # An edge belongs to the bucket that it ends.
    assert length.buckets == ('XS: <= 4 s', 'S: 4 - 20 s', 'M: > 20 s')
    assert length.total.tolist() == [1, 1, 1]
    assert length.missed.tolist() == [[1, 1, 0]] * 2
    assert coverage.buckets == ('XS: <= 20 %', 'S: 20 - 50 %', 'M: > 50 %')
    assert coverage.missed.tolist() == [[1, 0, 1]] * 2
    assert instances.buckets == ('XS: 1', 'S: > 1')
    assert instances.total.tolist() == [1, 2]
    assert instances.missed.tolist() == [[1, 1]] * 2


def test_buckets_divide_the_segments_evenly_and_coverage_needs_durations(video):
    segments = [[0, length] for length in range(1, 11)]
    truth = {'v': video(segments, [A] * 10, duration=None)}
    length, instances = diagnose(['a'], truth, {}, [0.5]).buckets
    assert length.total.tolist() == length.missed[0].tolist() == [2, 2, 2, 2, 2]
    assert instances.buckets == ('all',)
    assert instances.total.tolist() == [10]


def test_nothing_found_is_a_diagnosis_too(truth):
    result = diagnose(['a', 'b', 'unused'], truth, {}, [0.5])
    assert result.mean_ap.tolist() == [0.0]
    assert result.kinds.sum() == 0
    assert result.fixed[0].tolist() == [0, 0, 0, 0, 0, 1, 0]
    content = result.to_json()
    assert list(content['classes']) == ['a', 'b']
    assert content['boundary_error_s']['start']['median'] is None
    json.dumps(content, allow_nan=False)


def test_unusable_settings_are_refused(truth):
    with pytest.raises(ValueError, match='background_tiou'):
        diagnose(['a', 'b'], truth, FOUND, [0.5], background_tiou=0)
    with pytest.raises(ValueError, match='tIoU 0.4 is not among'):
        diagnose(['a', 'b'], truth, FOUND, [0.5], main_tiou=0.4)
    with pytest.raises(ValueError, match='not ascending'):
        diagnose(['a', 'b'], truth, FOUND, [0.5], edges=dict(length=[3, 2]))
    # Without 0.5 the one in the middle.
    assert diagnose(['a', 'b'], truth, FOUND, [0.3, 0.4, 0.7]).main_tiou == 0.4


times = st.integers(0, 12)
segment = st.tuples(times, st.integers(1, 6)).map(lambda s: [s[0], s[0] + s[1]])
labelled = st.lists(st.tuples(segment, st.integers(0, 2)), min_size=1, max_size=6)
scored = st.lists(st.tuples(segment, st.integers(0, 2), st.integers(1, 5)), max_size=14)


@settings(max_examples=60, deadline=None)
@given(videos=st.lists(st.tuples(labelled, scored), min_size=1, max_size=3))
def test_a_fix_never_lowers_the_map(video, videos):
    truth, found = {}, {}
    for name, (segments, detections) in enumerate(videos):
        truth[str(name)] = video(*zip(*segments, strict=True))
        found[str(name)] = Segments(
            [d[0] for d in detections],
            [d[1] for d in detections],
            [d[2] for d in detections],
        )
    result = diagnose('abc', truth, found, [0.3, 0.5, 0.9])
    actions = {name: one.actions for name, one in truth.items()}
    expected = mean_average_precision(actions, found, 3, [0.3, 0.5, 0.9])
    np.testing.assert_array_equal(result.ap, expected.ap)
    assert (result.kinds.sum(axis=1) == expected.counts['detections']).all()
    now = result.mean_ap[:, None] - 1e-12
    assert (result.removed >= now).all()
    assert (result.fixed >= now).all()
    # Right boundaries or labels are worth at least as much as no detection.
    assert (result.fixed[:, : len(ERROR_KINDS)] >= result.removed - 1e-12).all()
    for table in result.buckets:
        assert table.total.sum() == result.positives.sum()
        np.testing.assert_allclose(
            1 - table.missed.sum(axis=1) / table.total.sum(), result.recall
        )
        chosen = table.mean_ap[np.isfinite(table.mean_ap)]
        assert (chosen >= 0).all()
        assert (chosen <= 1 + 1e-12).all()
        if len(table.buckets) == 1:
            np.testing.assert_allclose(table.mean_ap[:, 0], table.overall)
