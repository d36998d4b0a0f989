"""The compiled operators as torch sees them, and that they equal the torch version."""

from __future__ import annotations

import io

import pytest
import torch

from mmtal_mts.ops import (
    boundary_max_pooling,
    boundary_max_pooling_levels,
    compiled,
    compiled_ops_problem,
)
from mmtal_mts.ops.boundary_pooling import compiled_max_pooling, vectorized_max_pooling

PROBLEM = compiled_ops_problem()
DEVICES = ['cpu'] + ['cuda'] * (
    compiled_ops_problem('cuda') is None and torch.cuda.is_available()
)
DTYPES = [torch.float32, torch.float64, torch.float16, torch.bfloat16]
needs_compiled = pytest.mark.skipif(PROBLEM is not None, reason=str(PROBLEM))
each_device = pytest.mark.parametrize('device', DEVICES)


def example(n=2, channels=40, length=50, count=30, device='cpu', dtype=torch.float32):
    """Features with ties and regions of all kinds, partly outside of the map."""
    generator = torch.Generator().manual_seed(length)
    features = torch.randn(n, channels, length, generator=generator)
    features = features.round(decimals=1).to(device, dtype).requires_grad_()
    first = torch.rand(n, count, 2, generator=generator) * 1.4 * length - 0.2 * length
    extent = torch.rand(n, count, 2, generator=generator) * 0.8 * length - 2
    regions = torch.stack([first, first + extent], -1).flatten(2)
    return features, regions.to(device)


@needs_compiled
@each_device
@pytest.mark.parametrize('dtype', DTYPES)
@pytest.mark.parametrize('channels, length', [(2, 1), (34, 15), (40, 100), (64, 16)])
def test_equals_the_torch_version(device, dtype, channels, length):
    features, regions = example(
        channels=channels, length=length, device=device, dtype=dtype
    )
    with torch.no_grad():
        features[0, ::3, length // 2] = float('nan')
        features[1, ::2, length // 3] = float('inf')
        features[1, 1::4] = -float('inf')
        features[1, ::5, 0] = -0.0
    expected = vectorized_max_pooling(features, regions)
    pooled = compiled_max_pooling(features, regions)
    assert pooled.dtype == dtype and pooled.is_contiguous()
    torch.testing.assert_close(pooled, expected, rtol=0, atol=0, equal_nan=True)

    weight = torch.randn_like(pooled)
    (slow,) = torch.autograd.grad(expected, features, weight)
    (fast,) = torch.autograd.grad(pooled, features, weight)
    assert fast.dtype == dtype
    if dtype in (torch.float32, torch.float64) and device == 'cpu':
        assert torch.equal(fast, slow)
    torch.testing.assert_close(fast, slow, rtol=0.05, atol=0.05)


@needs_compiled
@each_device
def test_long_ranges_on_a_long_map(device):
    features, regions = example(1, 2, 60_000, 500, device=device)
    assert torch.equal(
        compiled_max_pooling(features, regions),
        vectorized_max_pooling(features, regions),
    )


@needs_compiled
@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_half_precision_gradients_add_up_in_float(dtype):
    # 4096 + 1 has no half-precision neighbour: added one by one, the ones get lost.
    features = torch.zeros(1, 2, 3, dtype=dtype, requires_grad=True)
    pooled = compiled_max_pooling(features, torch.zeros(1, 4097, 4))
    weight = torch.ones_like(pooled)
    weight[..., 0] = 4096
    pooled.backward(weight)
    assert features.grad[0, :, 0].tolist() == [8192.0, 8192.0]


@needs_compiled
def test_other_layouts_and_dtypes_of_the_regions():
    features, regions = example(length=64)
    expected = vectorized_max_pooling(features, regions.long())
    transposed = features.detach().transpose(1, 2).contiguous().transpose(1, 2)
    for kind in (torch.int32, torch.int64, torch.float64):
        pooled = boundary_max_pooling(transposed, regions.to(kind))
        assert torch.equal(pooled, vectorized_max_pooling(features, regions.to(kind)))
    strided = torch.stack([regions.long()] * 2, -1)[..., 0]
    assert torch.equal(compiled_max_pooling(features, strided), expected)


@needs_compiled
@pytest.mark.parametrize('num_threads', [1, 2, 5])
def test_the_number_of_threads_changes_nothing(num_threads):
    features, regions = example(3, 70, 80)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(num_threads)
        pooled = compiled_max_pooling(features, regions)
        (gradient,) = torch.autograd.grad(pooled, features, torch.ones_like(pooled))
    finally:
        torch.set_num_threads(before)
    expected = vectorized_max_pooling(features, regions)
    assert torch.equal(pooled, expected)
    expected.backward(torch.ones_like(expected))
    assert torch.equal(gradient, features.grad)


@needs_compiled
@each_device
def test_second_derivative_numerically(device):
    values = torch.randperm(2 * 4 * 7).double().reshape(2, 4, 7)
    features = values.to(device).requires_grad_()
    regions = torch.tensor([[[0.0, 3.0, 2.0, 6.0], [0.0, 3.0, 3.0, 1.0]]] * 2)

    def pool(x):
        return compiled_max_pooling(x, regions.to(device)) ** 2

    assert torch.autograd.gradgradcheck(pool, (features,))


@needs_compiled
@each_device
def test_the_operators_are_declared_as_torch_wants_them(device):
    features, regions = example(device=device)
    operators = torch.ops.mmtal_mts
    torch.library.opcheck(operators.boundary_max_pooling, (features, regions))
    pooled, index = operators.boundary_max_pooling(features.detach(), regions)
    torch.library.opcheck(
        operators.boundary_max_pooling_backward,
        (pooled.requires_grad_(), index, features.shape[2]),
    )


@needs_compiled
@each_device
def test_compiles_as_one_graph_for_all_shapes(device):
    compiled_pool = torch.compile(
        boundary_max_pooling, backend='aot_eager', fullgraph=True, dynamic=True
    )
    for length in (20, 33):
        features, regions = example(length=length, device=device)
        pooled = compiled_pool(features, regions)
        expected = vectorized_max_pooling(features, regions)
        assert torch.equal(pooled, expected)
        weight = torch.randn_like(pooled)
        (fast,) = torch.autograd.grad(pooled, features, weight)
        (slow,) = torch.autograd.grad(expected, features, weight)
        torch.testing.assert_close(fast, slow)


class Pooling(torch.nn.Module):
    def forward(self, features, regions):
        return boundary_max_pooling(features, regions)


@needs_compiled
def test_exports_as_one_operator():
    features, regions = example()
    length = torch.export.Dim('length', min=2, max=1000)
    program = torch.export.export(
        Pooling(),
        (features.detach(), regions),
        dynamic_shapes=({2: length}, None),
    )
    targets = [str(node.target) for node in program.graph.nodes]
    assert 'mmtal_mts.boundary_max_pooling.default' in targets
    features, regions = example(length=77)
    assert torch.equal(
        program.module()(features, regions), vectorized_max_pooling(features, regions)
    )


@pytest.mark.filterwarnings('ignore::torch.jit.TracerWarning')
def test_onnx_gets_standard_operators():
    pytest.importorskip('onnx')
    features, regions = example()
    file = io.BytesIO()
    with torch.no_grad():
        torch.onnx.export(Pooling(), (features, regions), file, dynamo=False)
    assert b'GatherElements' in file.getvalue()
    assert b'mmtal_mts' not in file.getvalue()


@needs_compiled
@each_device
def test_keeps_the_dtype_under_autocast(device):
    features, regions = example(device=device, dtype=torch.bfloat16)
    with torch.autocast(device, dtype=torch.bfloat16):
        pooled = boundary_max_pooling(features, regions)
        full = boundary_max_pooling(features.float(), regions)
    assert pooled.dtype == torch.bfloat16 and full.dtype == torch.float32
    assert torch.equal(pooled.float(), full)


@needs_compiled
@each_device
def test_deterministic_gradients_on_request(device):
    # Many segments on few positions, of very different size: another order of the
    # additions gives other last bits.
    features, regions = example(1, 8, 3, 5000, device=device)
    weight = torch.randn(1, 8, 5000, device=device) * 1e4
    torch.use_deterministic_algorithms(True)
    try:
        gradients = [
            torch.autograd.grad(
                compiled_max_pooling(features, regions), features, weight
            )[0]
            for _ in range(5)
        ]
    finally:
        torch.use_deterministic_algorithms(False)
    assert all(torch.equal(gradients[0], other) for other in gradients[1:])


@needs_compiled
def test_levels_run_one_by_one():
    levels, regions = zip(
        *(example(length=length) for length in (32, 16, 1)), strict=True
    )
    pooled = boundary_max_pooling_levels(levels, regions)
    for level, region, one in zip(levels, regions, pooled, strict=True):
        assert torch.equal(one, vectorized_max_pooling(level, region))


@needs_compiled
@pytest.mark.parametrize(
    'features, segments, message',
    [
        ((1, 3, 4), (1, 2, 4), 'even C'),
        ((1, 2, 0), (1, 2, 4), 'even C'),
        ((1, 2, 4), (2, 2, 4), r'\(1, S, 4\)'),
        ((1, 2, 4), (1, 2, 3), r'\(1, S, 4\)'),
    ],
)
def test_the_operator_checks_shapes_itself(features, segments, message):
    operator = torch.ops.mmtal_mts.boundary_max_pooling
    with pytest.raises(ValueError, match=message):
        operator(torch.zeros(features), torch.zeros(segments))
    with pytest.raises(ValueError, match='must be alike'):
        torch.ops.mmtal_mts.boundary_max_pooling_backward(
            torch.zeros(1, 2, 3), torch.zeros(1, 2, 4, dtype=torch.int32), 5
        )


def test_what_is_not_built_is_said():
    assert 'not meta' in compiled_ops_problem('meta') or PROBLEM is not None
    if PROBLEM is not None:
        assert 'MMTAL_WITH_OPS=1' in PROBLEM


def test_integers_are_pooled_in_torch():
    features = torch.tensor([[[1, 5, 2], [7, 0, 8]]])
    pooled = boundary_max_pooling(features, torch.tensor([[[0.0, 1.0, 1.0, 2.0]]]))
    assert pooled.tolist() == [[[5], [8]]]


def test_a_library_that_does_not_load_is_reported_and_not_fatal(tmp_path, monkeypatch):
    from importlib.machinery import EXTENSION_SUFFIXES

    (tmp_path / f'mmtal_broken_ops{EXTENSION_SUFFIXES[0]}').write_bytes(
        b'not a library'
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(compiled, '_MODULE', 'mmtal_broken_ops')
    with pytest.warns(UserWarning, match='Build it again'):
        problem = compiled._load()
    assert 'mmtal_broken_ops cannot be loaded with torch' in problem
