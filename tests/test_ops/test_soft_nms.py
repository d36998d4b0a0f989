"""1-D soft-NMS against a slow reference, recorded numbers and its own contract."""

from __future__ import annotations

import math
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from plain_baselines import lowering, soft_nms_in_python

from mmtal_mts.ops import compiled_ops_problem, soft_nms, soft_nms_1d

PROBLEM = compiled_ops_problem()
needs_compiled = pytest.mark.skipif(PROBLEM is not None, reason=str(PROBLEM))
METHODS = ['gaussian', 'linear', 'hard']
GOLDENS = Path(__file__).parent.parent / 'data' / 'goldens'
with np.load(GOLDENS / 'c_softnms.npz') as data:
    GOLDEN = dict(data)
pytestmark = pytest.mark.compiled  # where they are built


def example(count, num_groups, seed=0):
    """Segments on a coarse grid, so that there are ties and empty ones."""
    random = np.random.default_rng(seed)
    start = random.integers(0, 20, count).astype(float)
    segments = np.stack([start, start + random.integers(-1, 8, count)], axis=1)
    scores = random.integers(0, 12, count) / 10
    return segments, scores, random.integers(-1, num_groups, count)


def test_equals_afsd_except_for_its_lost_last_segment():
    # The original stops when one live segment is left and never returns that one;
    # its output is in the order of the input.
    num_lost = 0
    for name in GOLDEN['names']:
        rows, output = (GOLDEN[f'{name}/{key}'] for key in ('segments', 'output'))
        sigma, min_score, top_k, count = (
            GOLDEN[f'{name}/{key}'].item()
            for key in ('sigma', 'score_threshold', 'top_k', 'count')
        )
        segments, scores = rows[:, :2], rows[:, 2]
        limits = dict(min_score=min_score, max_keep=int(top_k))
        found = soft_nms_1d(segments, scores, sigma=sigma, **limits)
        rows, factor = segments.tolist(), lowering(sigma=sigma)
        slow = soft_nms_in_python(rows, scores, factor, **limits)
        assert found[2].tolist() == [row for row, _ in slow]
        np.testing.assert_allclose(found[1], [by for _, by in slow], rtol=1e-6)
        assert len(slow) - count in (0, 1) and len(output) == count
        num_lost += len(slow) - int(count)
        segments, scores, kept = (part[: int(count)] for part in found)
        found = np.column_stack([segments, scores])[np.argsort(kept)]
        np.testing.assert_allclose(found, output, rtol=0, atol=1e-6)
    assert num_lost > 0


@pytest.mark.full
@pytest.mark.parametrize(
    ('method', 'theirs', 'settings'),
    [
        ('gaussian', 'gaussian', dict(sigma=0.5)),
        ('gaussian', 'gaussian', dict(sigma=0.1)),
        ('linear', 'linear', dict(iou_threshold=0.3)),
        ('hard', 'naive', dict(iou_threshold=0.4)),
    ],
)
def test_soft_nms_decays_as_that_of_mmcv(method, theirs, settings):
    from mmcv.ops import soft_nms

    # Overlapping segments in seconds; no two scores are alike.
    torch.manual_seed(200)
    start, length, scores = torch.rand(3, 200)
    start, scores = start * 60, scores * 0.9 + 0.05
    segments = torch.stack([start, start + (1 + length * 15)], dim=1)
    low, high = torch.zeros(200), torch.ones(200)
    rows = torch.stack([segments[:, 0], low, segments[:, 1], high], dim=1)
    settings = dict(settings, min_score=0.02)
    inputs = segments.numpy(), scores.numpy()
    found = soft_nms_1d(*inputs, method=method, **settings)
    kept_segments, kept_scores, kept = map(torch.from_numpy, found)
    boxes, index = soft_nms(rows, scores, method=theirs, **settings)
    assert 10 < len(kept) < 200
    assert kept.tolist() == index.tolist()
    torch.testing.assert_close(kept_scores, boxes[:, 4], rtol=1e-4, atol=1e-6)
    assert torch.equal(kept_segments, boxes[:, [0, 2]])


@pytest.mark.parametrize('method', METHODS)
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_equals_the_slow_loop(method, data):
    count = data.draw(st.integers(0, 25))
    # Few distinct values make ties, duplicates, touching and reversed segments.
    rows = st.tuples(*[st.integers(0, 12)] * 2, st.integers(0, 8))
    rows = data.draw(st.lists(rows, min_size=count, max_size=count))
    segments = [(a / 2, b / 2) for a, b, _ in rows]
    scores = [score / 8 for *_, score in rows]
    sigma = data.draw(st.sampled_from([0.1, 0.5, 0.9]))
    threshold = data.draw(st.sampled_from([0.0, 0.3, 0.5, 1.0]))
    limits = dict(
        min_score=data.draw(st.sampled_from([0.0, 0.001, 0.2])),
        max_keep=data.draw(st.sampled_from([None, 0, 1, 5])),
    )
    inputs = np.array(segments, dtype=float).reshape(-1, 2), np.array(scores, float)
    _, kept_scores, kept = soft_nms_1d(
        *inputs, method=method, sigma=sigma, iou_threshold=threshold, **limits
    )
    factor = lowering(method, sigma, threshold)
    slow = soft_nms_in_python(segments, scores, factor, **limits)
    # Scores that differ by rounding only may be taken in either order.
    np.testing.assert_allclose(kept_scores, [score for _, score in slow], rtol=1e-9)
    assert (np.diff(kept_scores) <= 0).all()
    assert len(set(kept.tolist())) == len(kept)
    if len(set(np.round(kept_scores, 9))) == len(kept):
        assert kept.tolist() == [row for row, _ in slow]


PAIR = [[0.0, 10.0], [5.0, 15.0]], [0.6, 0.9]  # tIoU 5 / 15
# What has no length overlaps nothing.
EMPTY = [[3, 3], [3, 3], [0, 5], [5, 1], [5, 1]], [0.5, 0.4, 0.9, 0.3, 0.2]


@pytest.mark.parametrize(
    ('inputs', 'options', 'rows', 'lowered'),
    [
        (PAIR, dict(sigma=0.4), [1, 0], [0.9, 0.6 * math.exp(-(1 / 9) / 0.4)]),
        (PAIR, dict(method='linear'), [1, 0], [0.9, 0.6 * 2 / 3]),
        (PAIR, dict(method='hard', iou_threshold=0.3), [1], [0.9]),
        (PAIR, dict(method='hard', iou_threshold=0.4), [1, 0], [0.9, 0.6]),
        (EMPTY, {}, [2, 0, 1, 3, 4], [0.9, 0.5, 0.4, 0.3, 0.2]),
    ],
)
def test_closed_forms(inputs, options, rows, lowered):
    _, scores, kept = soft_nms_1d(*map(np.array, inputs), **options)
    assert kept.tolist() == rows
    np.testing.assert_allclose(scores, lowered, rtol=1e-12)


def test_inputs_are_not_changed_and_keep_their_dtype_and_none_stays_none():
    segments = np.float32([[0.0, 4.0], [1.0, 4.0], [7.0, 9.0]])
    scores = np.float32([0.5, 0.8, 0.3])
    before = segments.copy(), scores.copy()
    kept_segments, kept_scores, kept = soft_nms_1d(segments, scores)
    assert np.array_equal(segments, before[0]) and np.array_equal(scores, before[1])
    assert kept_scores.dtype == kept_segments.dtype == np.float32
    assert kept.dtype == np.int64 and np.array_equal(kept_segments, segments[kept])
    empty, no_scores, none = soft_nms_1d(segments[:0], scores[:0])
    assert (empty.shape, no_scores.shape, none.shape) == ((0, 2), (0,), (0,))
    assert none.dtype == np.int64


def test_the_result_does_not_depend_on_the_order_of_the_input():
    segments, scores, _ = example(200, 1)
    shuffle = np.random.default_rng(0).permutation(200)
    first = soft_nms_1d(segments, scores)
    second = soft_nms_1d(segments[shuffle], scores[shuffle])
    np.testing.assert_array_equal(first[0], second[0])
    np.testing.assert_array_equal(first[1], second[1])


@pytest.mark.parametrize(
    ('segments', 'scores', 'settings', 'message'),
    [
        ([[0, 1]], [math.nan], {}, 'score 0 is nan'),
        ([[0, 1], [0, 2]], [0.1, -0.5], {}, 'score 1 is -0.5'),
        ([[0, math.inf]], [0.5], {}, 'segment 0'),
        ([[0, 1]], [0.5, 0.5], {}, r'\(S, 2\)'),
        ([[0, 1]], [0.5], {'method': 'soft'}, 'method'),
        ([[0, 1]], [0.5], {'sigma': 0}, 'sigma'),
        ([[0, 1]], [0.5], {'method': 'hard', 'iou_threshold': 2}, 'iou_threshold'),
        ([[0, 1]], [0.5], {'min_score': -1}, 'min_score'),
        ([[0, 1]], [0.5], {'max_keep': -1}, 'max_keep'),
        *(
            ([[0, 1]] * 2, [0.5] * 2, {'groups': groups}, 'groups')
            for groups in ([0.5, 1.0], [1], [[0], [1]])
        ),
    ],
)
def test_bad_input_is_named(segments, scores, settings, message):
    with pytest.raises(ValueError, match=message):
        soft_nms_1d(np.array(segments, float), np.array(scores, float), **settings)


def test_five_thousand_segments_take_a_moment():
    start, length, scores = np.random.default_rng(0).uniform(0, 1, (3, 5000))
    segments = np.column_stack([600 * start, 600 * start + 20 * length])
    begin = time.perf_counter()
    kept = soft_nms_1d(segments, scores)[2]
    # About 0.05 s; the bound only catches a fall back to quadratic work.
    assert time.perf_counter() - begin < 1.0
    assert len(kept) > 1000


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
        expected.extend(zip(own[picked], lowered, strict=True))
    assert kept.tolist() == [row for row, _ in expected]
    assert kept_scores.tolist() == [score for _, score in expected]
    assert np.array_equal(kept_segments, segments[kept])


@needs_compiled
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


@needs_compiled
@pytest.mark.parametrize('bounds', [[0], [1, 2], [0, 2, 1, 2], [0, 3]])
def test_bounds_that_do_not_fit(bounds):
    segments = torch.zeros(2, 2, dtype=torch.float64)
    with pytest.raises(ValueError, match='bounds'):
        torch.ops.mmtal_mts.soft_nms(
            segments, segments[:, 0], torch.tensor(bounds), 0, 0.5, 0.3, 0.001, -1
        )
