from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmtal_mts.structures.timebase import (
    frames_to_seconds,
    num_sampled_frames,
    seconds_to_frames,
    source_frame_indices,
)

NTSC = 30000 / 1001


def accumulated(source_fps: Fraction, sample_fps: Fraction, count: int) -> list[int]:
    """Slow reference: count source frames, keep one when an interval is full."""
    kept, filled = [], Fraction(0)
    index = 0
    while len(kept) < count:
        filled += sample_fps
        while filled >= source_fps and len(kept) < count:
            kept.append(index)
            filled -= source_fps
        index += 1
    return kept


def test_thirty_to_ten_takes_the_last_frame_of_each_interval():
    assert source_frame_indices(0, 4, 30, 10).tolist() == [2, 5, 8, 11]
    assert source_frame_indices(2, 2, 30, 10).tolist() == [8, 11]


@pytest.mark.parametrize(
    ('source', 'sample'), [(25, 10), (NTSC, 10), (24000 / 1001, 10), (10, 10), (5, 10)]
)
def test_equals_counting_frames(source, sample):
    exact = Fraction(source).limit_denominator(1001)
    expected = accumulated(exact, Fraction(sample), 3000)
    assert source_frame_indices(0, 3000, source, sample).tolist() == expected


def test_float32_rates_give_the_same_frames():
    # 24000/1001 sampled at 10 fps hits whole source frames at multiples of 1001.
    exact = source_frame_indices(0, 20000, 24000 / 1001, 10)
    rounded = source_frame_indices(0, 20000, float(np.float32(24000 / 1001)), 10)
    np.testing.assert_array_equal(rounded, exact)


def test_ntsc_is_not_thirty():
    # After 1000 s the two rates are 30 source frames apart.
    assert source_frame_indices(9999, 1, 30, 10)[0] == 29999
    assert source_frame_indices(9999, 1, NTSC, 10)[0] == 29970


def test_indices_are_clamped_on_request():
    assert source_frame_indices(0, 4, 30, 10, total_source_frames=7).tolist() == [
        2,
        5,
        6,
        6,
    ]
    assert source_frame_indices(0, 0, 30, 10).shape == (0,)


def test_a_whole_video_resampled_stays_inside():
    sample_fps = 768 / 123.45
    indices = source_frame_indices(0, 768, NTSC, sample_fps)
    assert indices[0] >= 0
    assert indices[-1] in (int(123.45 * NTSC) - 1, int(123.45 * NTSC))


@given(
    source=st.integers(1, 240),
    sample=st.integers(1, 60),
    num_frames=st.integers(1, 5000),
)
def test_every_counted_frame_exists(source, sample, num_frames):
    count = num_sampled_frames(sample, num_source_frames=num_frames, source_fps=source)
    last = source_frame_indices(count - 1, 1, source, sample)[0]
    following = source_frame_indices(count, 1, source, sample)[0]
    assert following >= num_frames
    # A video shorter than one interval still counts one frame.
    assert last < num_frames or count == 1


def test_counts():
    assert num_sampled_frames(10, num_source_frames=5091, source_fps=30) == 1697
    assert num_sampled_frames(10, num_source_frames=4991, source_fps=30) == 1663
    assert num_sampled_frames(10, duration_s=0.1 + 0.2) == 3
    assert num_sampled_frames(10, duration_s=2.9999999) == 30
    assert num_sampled_frames(10, duration_s=31.13) == 311
    assert num_sampled_frames(10, duration_s=0.02) == 1


@given(st.floats(0, 1e5), st.floats(0.1, 240))
def test_seconds_and_frames_are_inverse(seconds, fps):
    frames = seconds_to_frames(seconds, fps)
    assert frames_to_seconds(frames, fps) == pytest.approx(seconds, rel=1e-12)


def test_arrays_are_converted_elementwise():
    segments = np.array([[0.5, 2.0], [3.0, 4.5]])
    np.testing.assert_allclose(seconds_to_frames(segments, 10), segments * 10)


@pytest.mark.parametrize('fps', [0, -1, float('nan'), float('inf')])
def test_impossible_rates_are_errors(fps):
    with pytest.raises(ValueError, match='positive'):
        source_frame_indices(0, 1, fps, 10)
    with pytest.raises(ValueError, match='positive'):
        seconds_to_frames(1.0, fps)


def test_incomplete_arguments_are_errors():
    with pytest.raises(ValueError, match='exactly one'):
        num_sampled_frames(10)
    with pytest.raises(ValueError, match='source_fps'):
        num_sampled_frames(10, num_source_frames=5)
    with pytest.raises(ValueError, match='duration_s'):
        num_sampled_frames(10, duration_s=float('nan'))
    with pytest.raises(ValueError, match='negative'):
        source_frame_indices(-1, 1, 30, 10)
