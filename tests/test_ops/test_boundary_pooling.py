"""Boundary max pooling against recorded numbers and a slice for every region."""

from __future__ import annotations

import math
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from plain_baselines import pool_segment_by_segment
from torch.testing import assert_close

from mmtal_mts.ops import (
    boundary_max_pooling,
    boundary_max_pooling_levels,
    compiled,
    compiled_ops_problem,
)
from mmtal_mts.ops.boundary_pooling import compiled_max_pooling, vectorized_max_pooling

GOLDEN_FILE = Path(__file__).parent.parent / 'data/goldens/a_boundary_pooling.npz'
with np.load(GOLDEN_FILE) as data:
    GOLDEN = {key: torch.from_numpy(data[key]) for key in data.files if '/' in key}
    CASES = data['names'].tolist()
PROBLEM = compiled_ops_problem()
CUDA_PROBLEM = compiled_ops_problem('cuda') or (
    None if torch.cuda.is_available() else 'there is no GPU'
)


def cuda_max_pooling(features, segments):
    return compiled_max_pooling(features.cuda(), segments.cuda()).cpu()


def skip_with(problem):
    return pytest.mark.skipif(problem is not None, reason=str(problem))


pytestmark = pytest.mark.compiled  # where they are built
needs_compiled = skip_with(PROBLEM)
each_device = pytest.mark.parametrize(
    'device', ['cpu', pytest.param('cuda', marks=skip_with(CUDA_PROBLEM))]
)
each_implementation = pytest.mark.parametrize(
    'pool',
    [
        pytest.param(vectorized_max_pooling, id='torch'),
        pytest.param(compiled_max_pooling, id='cpp', marks=needs_compiled),
        pytest.param(cuda_max_pooling, id='cuda', marks=skip_with(CUDA_PROBLEM)),
    ],
)


def example(n=2, channels=40, length=50, count=30, device='cpu', dtype=torch.float32):
    """Features with ties and regions of all kinds, partly outside of the map."""
    generator = torch.Generator().manual_seed(length)
    features = torch.randn(n, channels, length, generator=generator)
    features = features.round(decimals=1).to(device, dtype).requires_grad_()
    first = torch.rand(n, count, 2, generator=generator) * 1.4 * length - 0.2 * length
    extent = torch.rand(n, count, 2, generator=generator) * 0.8 * length - 2
    regions = torch.stack([first, first + extent], -1).flatten(2)
    return features, regions.to(device)


def assert_same(pooled, expected, features, **tolerance):
    """Values are equal; gradients too, or within the tolerance."""
    assert pooled.dtype == features.dtype and pooled.is_contiguous()
    assert_close(pooled, expected, rtol=0, atol=0, equal_nan=True)
    weight = torch.randn_like(pooled)
    (slow,) = torch.autograd.grad(expected, features, weight)
    (fast,) = torch.autograd.grad(pooled, features, weight)
    assert_close(fast, slow, **tolerance)


@each_implementation
@pytest.mark.parametrize('name', CASES)
def test_recorded_values_and_gradients(pool, name):
    features = GOLDEN[f'{name}/input'].clone().requires_grad_()
    pooled = pool(features, GOLDEN[f'{name}/segments'])
    assert torch.equal(pooled, GOLDEN[f'{name}/output'])
    pooled.backward(GOLDEN[f'{name}/grad_output'])
    assert torch.equal(features.grad, GOLDEN[f'{name}/grad_input_exact'])


def test_the_defect_of_the_published_backward_is_not_reproduced():
    # It shows only where the number of segments is not the length of the map.
    same = {True: [], False: []}
    for name in CASES:
        exact, cuda = (GOLDEN[f'{name}/grad_input_{k}'] for k in ('exact', 'cuda'))
        fits = GOLDEN[f'{name}/segments'].shape[1] == exact.shape[2]
        same[fits].append(torch.equal(exact, cuda))
    assert all(same[True]) and not all(same[False])


bounds = st.one_of(
    st.integers(-5, 15).map(float),
    st.floats(-20, 20, width=32),
    st.sampled_from([math.inf, -math.inf, 1e30, -1e30, math.nan]),
)


@each_implementation
@settings(max_examples=60, deadline=None)
@given(st.data())
def test_equals_a_slice_and_a_maximum_for_every_region(pool, data):
    def drawn(values, *shape):
        size = math.prod(shape)
        found = data.draw(st.lists(values, min_size=size, max_size=size))
        return torch.tensor(found, dtype=torch.float32).reshape(shape)

    n, half, length, count = (data.draw(st.integers(1, top)) for top in (2, 2, 9, 4))
    # Few values, so that there are ties; some NaN.
    cell = st.sampled_from([-1.0, 0.0, 0.0, 1.0, 1.0, 2.0, math.nan])
    features = drawn(cell, n, 2 * half, length).requires_grad_()
    segments = drawn(bounds, n, count, 4)
    # An infinite bound is past the border it points to; NaN stands for the start.
    finite = segments.nan_to_num(0.0).clamp(-1e9, 1e9)
    expected = pool_segment_by_segment(features, finite)
    with torch.no_grad():
        without = pool(features, segments)
    assert_close(without, expected.detach(), rtol=0, atol=0, equal_nan=True)
    assert_same(pool(features, segments), expected, features)


@each_implementation
@pytest.mark.parametrize('bits', ['float32', 'float64', 'float16', 'bfloat16'])
def test_all_precisions_sizes_and_special_values(pool, bits):
    dtype = getattr(torch, bits)
    is_exact = bits in ('float32', 'float64') and pool is not cuda_max_pooling
    tolerance = 1e-6 if is_exact else 0.05
    for size in (
        *((6, 9, 2), (6, 257, 40), (6, 3000, 20), (2, 1, 30)),
        *((34, 15, 30), (40, 100, 30), (64, 16, 30)),
    ):
        features, regions = example(2, *size, dtype=dtype)
        with torch.no_grad():
            features[0, ::3, size[1] // 2] = float('nan')
            features[1, ::2, size[1] // 3] = float('inf')
            features[1, 1::4] = -float('inf')
            features[1, ::5, 0] = -0.0
        expected = pool_segment_by_segment(features, regions)
        found = pool(features, regions)
        assert_same(found, expected, features, rtol=tolerance, atol=tolerance)


@each_implementation
def test_reversed_regions_no_segments_and_no_clips(pool):
    assert pool(torch.zeros(1, 2, 1), torch.zeros(1, 0, 4)).shape == (1, 2, 0)
    assert pool(torch.zeros(0, 2, 5), torch.zeros(0, 3, 4)).numel() == 0
    features = torch.arange(12.0).reshape(1, 2, 6)
    segments = torch.tensor([[[4.0, 1.0, 2.0, 0.0]]])
    assert pool(features, segments).flatten().tolist() == [4.0, 8.0]


@each_implementation
def test_both_derivatives_numerically(pool):
    features = torch.randperm(2 * 4 * 7).double().reshape(2, 4, 7).requires_grad_()
    segments = torch.tensor([[[0.0, 3.0, 2.0, 6.0], [5.0, 9.0, -3.0, 1.0]]] * 2)
    assert torch.autograd.gradcheck(lambda x: pool(x, segments), (features,))
    assert torch.autograd.gradgradcheck(lambda x: pool(x, segments) ** 2, (features,))


@pytest.mark.filterwarnings('ignore::torch.jit.TracerWarning')
def test_the_torch_version_can_be_traced_for_any_batch():
    features, segments = example(3)
    features = features.detach()
    traced = torch.jit.trace(vectorized_max_pooling, (features[:2], segments[:2]))
    expected = pool_segment_by_segment(features, segments)
    assert torch.equal(traced(features, segments), expected)


@pytest.mark.parametrize(
    'features, segments, message',
    [
        ((1, 3, 4), (1, 2, 4), 'even C'),
        ((1, 2, 0), (1, 2, 4), 'even C'),
        ((2, 4), (1, 2, 4), 'even C'),
        ((1, 2, 4), (2, 2, 4), r'\(1, S, 4\)'),
        ((1, 2, 4), (1, 2, 3), r'\(1, S, 4\)'),
        ((1, 2, 4), (2, 4), r'\(1, S, 4\)'),
    ],
)
def test_shapes_are_checked(features, segments, message):
    pools = [boundary_max_pooling, compiled_max_pooling][: 1 + (PROBLEM is None)]
    for pool in pools:
        with pytest.raises(ValueError, match=message):
            pool(torch.zeros(features), torch.zeros(segments))


@needs_compiled
@each_device
def test_half_precision_gradients_add_up_in_float_and_repeatably(device):
    # 4096 + 1 has no half-precision neighbour: added one by one, the ones get lost.
    for dtype in (torch.float16, torch.bfloat16):
        features = torch.zeros(1, 2, 3, dtype=dtype, device=device, requires_grad=True)
        pooled = compiled_max_pooling(features, torch.zeros(1, 4097, 4, device=device))
        weight = torch.ones_like(pooled)
        weight[..., 0] = 4096
        pooled.backward(weight)
        assert features.grad[0, :, 0].tolist() == [8192.0, 8192.0]
    # Many segments on few positions, of very different size: another order of the
    # additions gives other last bits.
    features, regions = example(1, 8, 3, 5000, device=device)
    weight = torch.randn(1, 8, 5000, device=device) * 1e4
    torch.use_deterministic_algorithms(True)
    try:
        pools = (compiled_max_pooling(features, regions) for _ in range(5))
        first, *others = (torch.autograd.grad(x, features, weight)[0] for x in pools)
    finally:
        torch.use_deterministic_algorithms(False)
    assert all(torch.equal(first, other) for other in others)


@needs_compiled
def test_layouts_dtypes_of_regions_and_threads_change_nothing():
    features, regions = example(3, 70, 80)
    transposed = features.detach().transpose(1, 2).contiguous().transpose(1, 2)
    for kind in (torch.int32, torch.int64, torch.float64):
        cast = regions.to(kind)
        expected = vectorized_max_pooling(features, cast)
        assert torch.equal(boundary_max_pooling(transposed, cast), expected)
        strided = torch.stack([cast] * 2, -1)[..., 0]
        assert torch.equal(compiled_max_pooling(features, strided), expected)
    for number in (1, 2, 5, torch.get_num_threads()):
        torch.set_num_threads(number)
        pooled = compiled_max_pooling(features, regions)
        assert torch.equal(pooled, vectorized_max_pooling(features, regions))


@needs_compiled
@each_device
def test_torch_knows_the_operator_and_compiles_and_exports_it(device):
    operator = torch.ops.mmtal_mts.boundary_max_pooling
    torch.library.opcheck(operator, example(device=device))
    pool = torch.compile(
        boundary_max_pooling, backend='aot_eager', fullgraph=True, dynamic=True
    )

    class Pooling(torch.nn.Module):
        def forward(self, features, regions):
            return boundary_max_pooling(features, regions)

    features, regions = example(device=device)
    length = torch.export.Dim('length', min=2, max=1000)
    program = torch.export.export(
        Pooling(), (features.detach(), regions), dynamic_shapes=({2: length}, None)
    )
    targets = [str(node.target) for node in program.graph.nodes]
    assert 'mmtal_mts.boundary_max_pooling.default' in targets
    for length in (20, 33):
        features, regions = example(length=length, device=device)
        expected = vectorized_max_pooling(features, regions)
        assert_same(pool(features, regions), expected, features)
        assert torch.equal(program.module()(features, regions), expected)


@each_device
def test_keeps_the_dtype_under_autocast(device):
    features, regions = example(device=device, dtype=torch.bfloat16)
    with torch.autocast(device, dtype=torch.bfloat16):
        pooled = boundary_max_pooling(features, regions)
        full = boundary_max_pooling(features.float(), regions)
    assert pooled.dtype == torch.bfloat16 and full.dtype == torch.float32
    assert torch.equal(pooled.float(), full)


def test_levels_are_pooled_one_by_one_and_integers_in_torch():
    examples = [example(length=length) for length in (32, 16, 1)]
    pooled = boundary_max_pooling_levels(*zip(*examples, strict=True))
    for one, inputs in zip(pooled, examples, strict=True):
        assert torch.equal(one, vectorized_max_pooling(*inputs))
    features = torch.tensor([[[1, 5, 2], [7, 0, 8]]])
    pooled = boundary_max_pooling(features, torch.tensor([[[0.0, 1.0, 1.0, 2.0]]]))
    assert pooled.tolist() == [[[5], [8]]]


def test_a_library_that_does_not_load_is_reported_and_not_fatal(tmp_path, monkeypatch):
    assert 'not meta' in compiled_ops_problem('meta') or 'MMTAL_WITH_OPS=1' in PROBLEM
    file = tmp_path / f'mmtal_broken_ops{EXTENSION_SUFFIXES[0]}'
    file.write_bytes(b'not a library')
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(compiled, '_MODULE', 'mmtal_broken_ops')
    with pytest.warns(UserWarning, match='Build it again'):
        problem = compiled._load()
    assert 'mmtal_broken_ops cannot be loaded with torch' in problem
