"""The normalised mAP of buckets of segments, on cases done by hand."""

from __future__ import annotations

import json

import numpy as np
import pytest

from mmtal_mts.evaluation.diagnosis import PAPER_EDGES, diagnose
from mmtal_mts.structures import Segments

A, B = 0, 1


@pytest.fixture
def by_hand(video):
    """Class a: a short and a long segment, b: a short one. N is 3 / 2."""
    truth = {'v': video([[0, 4], [10, 30], [50, 54]], [A, A, B])}
    found = {
        'v': Segments(
            [[0, 4], [60, 64], [10, 30], [50, 52]], [A, A, A, B], [0.9, 0.8, 0.7, 0.6]
        )
    }
    edges = dict(length=[10])
    return diagnose(['a', 'b', 'unused'], truth, found, [0.5, 0.75], edges=edges)


def test_normalised_map_of_all_segments(by_hand):
    # a: hits at ranks 1 and 3, precision 1 and R N / (R N + 1) = 1.5 / 2.5;
    # b: its detection has tIoU 0.5.
    overall = by_hand.buckets[0].overall
    a = (1 + 1.5 / 2.5) / 2
    np.testing.assert_allclose(overall, [(a + 1) / 2, a / 2])
    assert overall[0] > by_hand.mean_ap[0] - 0.05


def test_a_bucket_is_measured_without_what_finds_other_segments(by_hand):
    length = by_hand.buckets[0]
    assert length.characteristic == 'length'
    assert length.buckets == ('XS: <= 10 s', 'S: > 10 s')
    assert length.total.tolist() == [2, 1]
    # Short ones: both are found first. Long one: one false positive before it, so
    # precision 1.5 / (1.5 + 1); class b has none and does not count.
    np.testing.assert_allclose(length.mean_ap, [[1.0, 0.6], [0.5, 0.6]])
    overall = length.overall.mean()
    np.testing.assert_allclose(
        length.relative_change, [0.75 / overall - 1, 0.6 / overall - 1]
    )
    assert length.spread == pytest.approx(0.15)
    assert length.impact == pytest.approx(0.75 - overall)


def test_as_many_segments_in_every_class_is_the_usual_map(video):
    truth = {'v': video([[0, 4], [10, 14], [20, 24], [30, 34]], [A, A, B, B])}
    found = {'v': Segments([[50, 54], [0, 4], [20, 24]], [A, A, B], [0.9, 0.8, 0.7])}
    result = diagnose(['a', 'b'], truth, found, [0.5])
    np.testing.assert_allclose(result.buckets[0].overall, result.mean_ap)
    # Instances: all segments are in one bucket.
    instances = result.buckets[2]
    assert instances.buckets == ('all',)
    np.testing.assert_allclose(instances.mean_ap[:, 0], instances.overall)
    assert instances.spread == 0


def test_nothing_found_has_no_relative_change_and_json_no_nan(video):
    truth = {'v': video([[0, 4], [0, 50]], [A, A])}
    edges = dict(length=[10, 20])
    result = diagnose(['a'], truth, {}, [0.5], edges=edges)
    content = json.loads(json.dumps(result.to_json(), allow_nan=False))
    length = content['sensitivity']['length']
    assert length['buckets'] == ['XS: <= 10 s', 'S: 10 - 20 s', 'M: > 20 s']
    assert length['normalized_mAP'] == [[0.0, None, 0.0]]
    assert length['relative_change'] == [None, None, None]
    assert length['sensitivity'] == length['impact'] == 0


def test_buckets_of_the_paper_keep_their_names_where_the_ends_are_empty(video):
    truth = {'v': video([[0, 7], [20, 34]], [A, B])}
    length, coverage, instances = diagnose(
        ['a', 'b'], truth, {}, [0.5], edges=PAPER_EDGES['thumos14']
    ).buckets
    assert length.buckets == ('M: 6 - 12 s', 'L: 12 - 18 s')
    assert coverage.buckets == ('L: 6 - 8 %', 'XL: > 8 %')
    assert instances.buckets == ('XS: 1',)
    names = diagnose(
        ['a', 'b'], truth, {}, [0.5], edges=PAPER_EDGES['activitynet']
    ).buckets[0]
    assert names.buckets == ('XS: <= 30 s',)
