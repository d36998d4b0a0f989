"""Boundary max pooling against recorded numbers and a loop over every cell."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mmtal_mts.ops import boundary_max_pooling, compiled_ops_problem
from mmtal_mts.ops.boundary_pooling import compiled_max_pooling, vectorized_max_pooling

GOLDEN_FILE = Path(__file__).parent.parent / 'data/goldens/a_boundary_pooling.npz'
with np.load(GOLDEN_FILE) as data:
    GOLDEN = {key: data[key] for key in data.files}
CASES = GOLDEN.pop('names').tolist()


def cuda_max_pooling(features, segments):
    return compiled_max_pooling(features.cuda(), segments.cuda()).cpu()


def skip_with(problem):
    return pytest.mark.skipif(problem is not None, reason=str(problem))


CPU_PROBLEM = compiled_ops_problem('cpu')
CUDA_PROBLEM = compiled_ops_problem('cuda') or (
    None if torch.cuda.is_available() else 'there is no GPU'
)
each_implementation = pytest.mark.parametrize(
    'pool',
    [
        pytest.param(vectorized_max_pooling, id='torch'),
        pytest.param(compiled_max_pooling, id='cpp', marks=skip_with(CPU_PROBLEM)),
        pytest.param(cuda_max_pooling, id='cuda', marks=skip_with(CUDA_PROBLEM)),
    ],
)


def case(name):
    prefix = name + '/'
    return {
        key[len(prefix) :]: torch.from_numpy(value)
        for key, value in GOLDEN.items()
        if key.startswith(prefix)
    }


def pool_cell_by_cell(features, segments):
    """The definition, one output cell at a time: values and chosen positions."""
    n, channels, length = features.shape
    count = segments.shape[1]
    values = torch.zeros(n, channels, count, dtype=features.dtype)
    index = torch.zeros(n, channels, count, dtype=torch.long)
    for b in range(n):
        for k in range(count):
            for c in range(channels):
                column = 0 if c < channels // 2 else 2
                first, last = (
                    min(max(math.trunc(float(v)), 0), length - 1)
                    for v in segments[b, k, column : column + 2]
                )
                best = first
                for t in range(first + 1, last + 1):
                    now, candidate = features[b, c, best], features[b, c, t]
                    if candidate > now or (candidate.isnan() and not now.isnan()):
                        best = t
                values[b, c, k], index[b, c, k] = features[b, c, best], best
    return values, index


@each_implementation
@pytest.mark.parametrize('name', CASES)
def test_recorded_values_and_gradients(pool, name):
    golden = case(name)
    features = golden['input'].requires_grad_()
    pooled = pool(features, golden['segments'])
    torch.testing.assert_close(pooled, golden['output'], rtol=0, atol=0)
    pooled.backward(golden['grad_output'])
    torch.testing.assert_close(
        features.grad, golden['grad_input_exact'], rtol=0, atol=0
    )


def test_the_defect_of_the_published_backward_is_not_reproduced():
    # It shows only where the number of segments is not the length of the map.
    differs = []
    for name in CASES:
        golden = case(name)
        same = torch.equal(golden['grad_input_exact'], golden['grad_input_cuda'])
        if golden['segments'].shape[1] == golden['input'].shape[2]:
            assert same
        else:
            differs.append(not same)
    assert any(differs)


bounds = st.one_of(
    st.integers(-5, 15).map(float),
    st.floats(-20, 20, width=32),
    st.sampled_from([math.inf, -math.inf, 1e30, -1e30, math.nan]),
)


@each_implementation
@settings(max_examples=60, deadline=None)
@given(st.data())
def test_equals_the_definition_cell_by_cell(pool, data):
    n, half = data.draw(st.integers(1, 2)), data.draw(st.integers(1, 2))
    length, count = data.draw(st.integers(1, 9)), data.draw(st.integers(0, 4))
    # Few values, so that there are ties; some NaN.
    cell = st.sampled_from([-1.0, 0.0, 0.0, 1.0, 1.0, 2.0, math.nan])
    size = n * 2 * half * length
    features = torch.tensor(data.draw(st.lists(cell, min_size=size, max_size=size)))
    features = features.reshape(n, 2 * half, length).requires_grad_()
    size = n * count * 4
    segments = torch.tensor(data.draw(st.lists(bounds, min_size=size, max_size=size)))
    segments = segments.reshape(n, count, 4).float()
    # An infinite bound is past the border it points to; NaN stands for the start.
    finite = segments.nan_to_num(0.0).clamp(-1e9, 1e9)
    values, index = pool_cell_by_cell(features.detach(), finite)

    with torch.no_grad():
        without = pool(features, segments)
    torch.testing.assert_close(without, values, rtol=0, atol=0, equal_nan=True)
    pooled = pool(features, segments)
    torch.testing.assert_close(pooled, values, rtol=0, atol=0, equal_nan=True)
    weight = torch.randn(pooled.shape)
    pooled.backward(weight)
    expected = torch.zeros_like(features).scatter_add_(2, index, weight)
    torch.testing.assert_close(features.grad, expected)


@each_implementation
def test_long_maps_equal_plain_slices(pool):
    features = torch.randn(2, 6, 257).round(decimals=1)
    first = torch.randint(-30, 290, (2, 40, 2)).float()
    segments = torch.stack([first, first + torch.randint(-3, 200, (2, 40, 2))], -1)
    values, _ = pool_cell_by_cell(features, segments.flatten(2))
    torch.testing.assert_close(
        pool(features, segments.flatten(2)), values, rtol=0, atol=0
    )


@each_implementation
def test_single_position_and_no_segments(pool):
    features = torch.tensor([[[3.0], [4.0]]], requires_grad=True)
    segments = torch.tensor([[[-2.0, 9.0, 5.0, 1.0]] * 3])
    pooled = pool(features, segments)
    assert pooled.tolist() == [[[3.0] * 3, [4.0] * 3]]
    pooled.sum().backward()
    assert features.grad.flatten().tolist() == [3.0, 3.0]
    empty = pool(features, torch.zeros(1, 0, 4))
    assert empty.shape == (1, 2, 0)
    assert pool(torch.zeros(0, 2, 5), torch.zeros(0, 3, 4)).numel() == 0


@each_implementation
def test_reversed_region_is_the_position_of_its_start(pool):
    features = torch.arange(12.0).reshape(1, 2, 6)
    segments = torch.tensor([[[4.0, 1.0, 2.0, 0.0]]])
    assert pool(features, segments).flatten().tolist() == [4.0, 8.0]


@each_implementation
@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions(pool, dtype):
    features = torch.randn(1, 4, 9).to(dtype)
    segments = torch.tensor([[[0.0, 3.0, 2.0, 8.0]]])
    pooled = pool(features, segments)
    assert pooled.dtype == dtype
    expected, _ = pool_cell_by_cell(features, segments)
    torch.testing.assert_close(pooled, expected, rtol=0, atol=0)


@each_implementation
def test_gradient_numerically(pool):
    features = torch.randperm(2 * 4 * 7).double().reshape(2, 4, 7).requires_grad_()
    segments = torch.tensor([[[0.0, 3.0, 2.0, 6.0], [5.0, 9.0, -3.0, 1.0]]] * 2)
    assert torch.autograd.gradcheck(lambda x: pool(x, segments), (features,))


@pytest.mark.filterwarnings('ignore::torch.jit.TracerWarning')
def test_the_torch_version_can_be_traced_for_any_batch():
    features, segments = torch.randn(3, 4, 9), torch.rand(3, 5, 4) * 9
    traced = torch.jit.trace(vectorized_max_pooling, (features[:2], segments[:2]))
    expected, _ = pool_cell_by_cell(features, segments)
    assert torch.equal(traced(features, segments), expected)


@pytest.mark.parametrize(
    'features, segments',
    [((1, 3, 4), (1, 2, 4)), ((1, 2, 0), (1, 2, 4)), ((2, 4), (1, 2, 4))]
    + [((1, 2, 4), (2, 2, 4)), ((1, 2, 4), (1, 2, 2)), ((1, 2, 4), (2, 4))],
)
def test_shapes_are_checked(features, segments):
    with pytest.raises(ValueError, match='shape'):
        boundary_max_pooling(torch.zeros(features), torch.zeros(segments))
