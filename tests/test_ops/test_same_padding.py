import math

from hypothesis import given
from hypothesis import strategies as st

from mmtal_mts.ops import same_padding


@given(st.integers(1, 40), st.integers(1, 7), st.integers(1, 3))
def test_same_padding_gives_ceil_length_with_least_padding(size, kernel, stride):
    front, behind = same_padding(size, kernel, stride)
    assert behind - front in (0, 1)
    out = (size + front + behind - kernel) // stride + 1
    assert out == math.ceil(size / stride)
    # One position less of padding would lose an output position (or there is none).
    if front + behind:
        assert (size + front + behind - 1 - kernel) // stride + 1 < out
