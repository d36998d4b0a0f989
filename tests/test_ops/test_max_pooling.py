import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from mmtal_mts.ops import compiled_ops_problem, same_max_pool3d, same_padding

PROBLEM = compiled_ops_problem()
needs_compiled = pytest.mark.skipif(PROBLEM is not None, reason=str(PROBLEM))
LAYOUTS = [torch.contiguous_format, torch.channels_last_3d]
# Every kernel and stride of I3D.
WINDOWS = [
    ((1, 3, 3), (1, 2, 2)),
    ((3, 3, 3), (2, 2, 2)),
    ((2, 2, 2), (2, 2, 2)),
    ((3, 3, 3), (1, 1, 1)),
]


def padded_pooling(x, kernel, stride):
    """Padding written out, then pooling without any."""
    sides = []
    for size, k, s in zip(x.shape[2:], kernel, stride):
        sides = [*same_padding(size, k, s), *sides]
    return F.max_pool3d(F.pad(x, sides, value=-torch.inf), kernel, stride)


def example(shape, layout=torch.channels_last_3d, dtype=torch.float32):
    """A map with many ties, as behind a ReLU."""
    generator = torch.Generator().manual_seed(sum(shape))
    x = torch.randn(shape, generator=generator).round(decimals=1).relu().to(dtype)
    return x.contiguous(memory_format=layout).requires_grad_()


@pytest.mark.parametrize('layout', LAYOUTS)
@pytest.mark.parametrize('kernel, stride', WINDOWS)
@given(
    st.tuples(
        st.integers(1, 2), st.integers(1, 40), *[st.integers(1, 7) for _ in range(3)]
    )
)
@settings(max_examples=15, deadline=None)
def test_same_as_padding_written_out(layout, kernel, stride, shape):
    x = example(shape, layout)
    pooled = same_max_pool3d(x, kernel, stride)
    expected = padded_pooling(x, kernel, stride)
    assert torch.equal(pooled, expected)
    weight = torch.rand_like(pooled)
    (grad,) = torch.autograd.grad(pooled, x, weight)
    (expected_grad,) = torch.autograd.grad(expected, x, weight)
    torch.testing.assert_close(grad, expected_grad)
    with torch.no_grad():
        assert torch.equal(same_max_pool3d(x, kernel, stride), expected)


@pytest.mark.parametrize(
    'dtype', [torch.float64, torch.float32, torch.float16, torch.bfloat16]
)
def test_dtypes_and_layout_stay(dtype):
    x = example((2, 24, 5, 6, 7), dtype=dtype)
    pooled = same_max_pool3d(x, (3, 3, 3), (2, 2, 2))
    assert pooled.dtype == dtype
    assert pooled.is_contiguous(memory_format=torch.channels_last_3d)
    expected = padded_pooling(x.detach().double(), (3, 3, 3), (2, 2, 2))
    assert torch.equal(pooled.double(), expected)
    (grad,) = torch.autograd.grad(pooled.sum(), x)
    # Windows of stride 2 overlap: a maximum has up to eight of them.
    assert grad.dtype == dtype and grad.sum() == pooled.numel()


@pytest.mark.parametrize('grad', [False, True])
def test_nan_wins(grad):
    x = torch.zeros(1, 16, 1, 1, 4).contiguous(memory_format=torch.channels_last_3d)
    x[0, ::2, 0, 0, 1] = torch.nan
    x[0, :, 0, 0, 2] = torch.inf
    pooled = same_max_pool3d(x.requires_grad_(grad), (1, 1, 3), (1, 1, 1))
    assert pooled[0, ::2, 0, 0, :3].isnan().all()
    assert (pooled[0, 1::2, 0, 0, 1:] == torch.inf).all()
    assert (pooled[0, 1::2, 0, 0, 0] == 0).all()


def test_the_first_of_equal_maxima_gets_the_gradient():
    x = torch.ones(1, 8, 1, 1, 3).contiguous(memory_format=torch.channels_last_3d)
    same_max_pool3d(x.requires_grad_(), (1, 1, 3), (1, 1, 3)).sum().backward()
    assert x.grad[0, :, 0, 0].tolist() == [[1, 0, 0]] * 8


@needs_compiled
def test_gradient_shapes_and_schema_of_the_operator():
    x = example((1, 3, 3, 4, 5), dtype=torch.float64)
    args = (x, [3, 3, 3], [2, 2, 2], True)
    torch.library.opcheck(torch.ops.mmtal_mts.max_pool3d, args)
    index = torch.ops.mmtal_mts.max_pool3d(*args)[1]
    assert index.dtype == torch.uint8 and index.shape == (1, 3, 2, 2, 3)
    # No ties, so that the maxima do not move.
    distinct = torch.randperm(x.numel()).double().view_as(x)
    distinct = distinct.contiguous(memory_format=torch.channels_last_3d)
    assert torch.autograd.gradcheck(
        lambda x: same_max_pool3d(x, (3, 3, 3), (2, 2, 2)), distinct.requires_grad_()
    )


@needs_compiled
def test_second_derivative_is_refused():
    x = example((1, 8, 2, 2, 2))
    pooled = same_max_pool3d(x, (2, 2, 2), (2, 2, 2))
    (grad,) = torch.autograd.grad(pooled.sum() ** 2, x, create_graph=True)
    with pytest.raises(NotImplementedError, match='second derivative'):
        grad.sum().backward()


@needs_compiled
@pytest.mark.parametrize(
    'kernel, stride, match',
    [
        ([3, 3], [1, 1, 1], '3 axes'),
        ([0, 3, 3], [1, 1, 1], 'positive'),
        ([2, 2, 2], [3, 2, 2], 'at most the kernel'),
        ([7, 7, 7], [1, 1, 1], 'more than 255 cells'),
    ],
)
def test_bad_windows(kernel, stride, match):
    x = torch.zeros(1, 8, 4, 4, 4)
    with pytest.raises(ValueError, match=match):
        torch.ops.mmtal_mts.max_pool3d(x, kernel, stride, False)


@needs_compiled
def test_gradient_that_does_not_fit():
    backward = torch.ops.mmtal_mts.max_pool3d_backward
    grad = torch.zeros(1, 8, 2, 2, 2)
    index = torch.zeros(1, 8, 2, 2, 2, dtype=torch.uint8)
    with pytest.raises(ValueError, match='does not fit'):
        backward(grad, index, [9, 4, 4], [2, 2, 2], [2, 2, 2])
    with pytest.raises(ValueError, match='uint8'):
        backward(grad, index.int(), [4, 4, 4], [2, 2, 2], [2, 2, 2])
