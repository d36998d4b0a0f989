"""Soft-NMS of several groups in one call, compiled and not."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mmtal_mts.ops import compiled_ops_problem, soft_nms, soft_nms_1d

PROBLEM = compiled_ops_problem()
METHODS = ['gaussian', 'linear', 'hard']


def example(count, num_groups, seed=0):
    """Segments on a coarse grid, so that there are ties and empty ones."""
    random = np.random.default_rng(seed)
    start = random.integers(0, 20, count).astype(float)
    segments = np.stack([start, start + random.integers(-1, 8, count)], axis=1)
    scores = random.integers(0, 12, count) / 10
    return segments, scores, random.integers(-1, num_groups, count)


@pytest.mark.parametrize('method', METHODS)
@given(st.integers(0, 60), st.integers(1, 4), st.sampled_from([None, 0, 1, 3]))
@settings(max_examples=25, deadline=None)
def test_each_group_as_if_alone(method, count, num_groups, max_keep):
    segments, scores, groups = example(count, num_groups, seed=count)
    options = dict(method=method, min_score=0.05, max_keep=max_keep)
    kept_segments, kept_scores, kept = soft_nms_1d(segments, scores, groups, **options)
    expected = []
    for group in np.unique(groups):
        own = np.flatnonzero(groups == group)
        _, lowered, picked = soft_nms_1d(segments[own], scores[own], **options)
        expected.extend(zip(own[picked], lowered))
    assert kept.tolist() == [row for row, _ in expected]
    assert kept_scores.tolist() == [score for _, score in expected]
    assert np.array_equal(kept_segments, segments[kept])


@pytest.mark.skipif(PROBLEM is not None, reason=str(PROBLEM))
@pytest.mark.parametrize('method', METHODS)
@pytest.mark.parametrize('min_score', [0.0, 0.05])
def test_compiled_equals_numpy(method, min_score, monkeypatch):
    options = dict(method=method, min_score=min_score, iou_threshold=0.4)
    inputs = example(3000, 7)
    fast = soft_nms_1d(*inputs, **options)
    monkeypatch.setattr(soft_nms, 'compiled_ops_problem', lambda: 'switched off')
    slow = soft_nms_1d(*inputs, **options)
    assert len(fast[2]) > 50 and np.array_equal(fast[2], slow[2])
    np.testing.assert_allclose(fast[1], slow[1], rtol=1e-12)


def test_groups_of_tensors():
    segments = torch.tensor([[0.0, 2.0], [0.0, 2.0], [0.0, 2.0]])
    scores = torch.tensor([0.5, 0.9, 0.8])
    groups = torch.tensor([1, 0, 0])
    _, lowered, kept = soft_nms_1d(segments, scores, groups, method='hard')
    assert kept.tolist() == [1, 0] and lowered.tolist() == pytest.approx([0.9, 0.5])


@pytest.mark.parametrize('groups', [[0.5, 1.0], [1], [[0], [1]]])
def test_bad_groups(groups):
    with pytest.raises(ValueError, match='groups'):
        soft_nms_1d(np.zeros((2, 2)), np.zeros(2), np.array(groups))


@pytest.mark.skipif(PROBLEM is not None, reason=str(PROBLEM))
@pytest.mark.parametrize('bounds', [[0], [1, 2], [0, 2, 1, 2], [0, 3]])
def test_bounds_that_do_not_fit(bounds):
    segments = torch.zeros(2, 2, dtype=torch.float64)
    with pytest.raises(ValueError, match='bounds'):
        torch.ops.mmtal_mts.soft_nms(
            segments, segments[:, 0], torch.tensor(bounds), 0, 0.5, 0.3, 0.001, -1
        )
