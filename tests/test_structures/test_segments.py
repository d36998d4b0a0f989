"""The carrier of segments, and temporal IoU in numpy."""

from __future__ import annotations

import numpy as np
import pytest

from mmtal_mts.structures.segments import Segments, aligned_tiou, pairwise_tiou


def test_closed_forms_and_nothing():
    a = np.array([[0.0, 10.0], [2.0, 4.0]])
    b = np.array([[0.0, 10.0], [5.0, 15.0], [10.0, 12.0], [3.0, 4.0]])
    expected = [[1.0, 5 / 15, 0.0, 0.1], [0.2, 0.0, 0.0, 0.5]]
    np.testing.assert_allclose(pairwise_tiou(a, b), expected, rtol=1e-15)
    np.testing.assert_array_equal(aligned_tiou(a, b[[0, 3]]), [1.0, 0.5])
    nothing = np.zeros((0, 2))
    assert pairwise_tiou(nothing, b).shape == (0, 4)
    assert pairwise_tiou(b, nothing).shape == (4, 0)
    assert aligned_tiou(nothing, nothing).shape == (0,)


def test_segments_without_length_overlap_nothing():
    a = np.array([[3.0, 3.0], [31.0, 21.0]])
    b = np.array([[3.0, 3.0], [0.0, 40.0], [21.0, 31.0], [31.0, 21.0]])
    with np.errstate(all='raise'):
        assert not pairwise_tiou(a, b).any()


def test_carrier_converts_selects_and_joins_what_belongs_together():
    found = Segments([[0, 1], [2, 4.5]], [1, 0], [0.5, 0.25])
    assert (found.segments.dtype, found.labels.dtype) == (np.float64, np.int64)
    best = found[found.scores > 0.3]
    assert (best.segments.tolist(), best.labels.tolist()) == ([[0, 1]], [1])
    assert Segments.concatenate([found, best]).scores.tolist() == [0.5, 0.25, 0.5]
    assert len(Segments.concatenate([])) == len(Segments.empty()) == 0
    assert Segments.concatenate([]).scores is not None
    with pytest.raises(ValueError, match="'scores': 1"):
        Segments([[0, 1], [2, 3]], [0, 0], [0.5])
    with pytest.raises(ValueError, match='with and without scores'):
        Segments.concatenate([found, Segments([[0, 1]], [0])])
