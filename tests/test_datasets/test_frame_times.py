"""Times of frames, from stamps and from files."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmtal_mts.datasets.frame_times import (
    FrameTimes,
    read_frame_times,
    times_from_stamps,
)
from mmtal_mts.datasets.streaming import FrameSampler
from mmtal_mts.datasets.video_stream import VideoStream
from mmtal_mts.structures.timebase import source_frame_indices

TICK = Fraction(1, 90_000)
# Frame 0 stays for a second, the other nine for 0.1 s each.
TIMES = [0.0, *(1.0 + 0.1 * k for k in range(9))]


def varying(starts_s, end_s):
    starts = np.array(starts_s)
    return FrameTimes(len(starts), len(starts) / end_s, starts, end_s)


def test_last_frame_before_the_end_of_each_interval():
    times = varying([0.0, 0.3, 0.4, 0.45, 0.8], 1.0)
    assert times.count(10) == 10
    # A frame that begins at the very end of an interval belongs to the next one.
    assert times.indices(0, 10, 10).tolist() == [0, 0, 0, 1, 3, 3, 3, 3, 4, 4]
    assert times.indices(7, 2, 10).tolist() == [3, 4]
    assert times.indices(0, 2, 2).tolist() == [3, 4]
    assert times.shown_at(np.array([-1, 0.29, 0.3, 0.44, 5])).tolist() == [
        0,
        0,
        1,
        2,
        4,
    ]
    assert times.start_s(2) == 0.4


def test_what_is_beyond_the_end_has_indices_of_no_frame():
    times = varying([0.0, 0.3, 0.4, 0.45, 0.8], 1.0)
    assert times.indices(9, 3, 10).tolist() == [4, 5, 5]
    constant = FrameTimes(10, 10.0)
    assert constant.indices(9, 3, 10).tolist() == [9, 10, 11]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(1, 20_000), min_size=1, max_size=60),
    st.sampled_from([3, 10, 12.5, 30000 / 1001]),
)
def test_any_times_against_a_search_one_by_one(steps, sample_fps):
    stamps = [0, *np.cumsum(steps).tolist()]
    times = times_from_stamps(stamps, TICK, None, Fraction(1, 25))
    count = times.count(sample_fps)
    rate = Fraction(sample_fps).limit_denominator(1001)
    expected = [
        max(i for i, stamp in enumerate(stamps) if stamp * TICK < (k + 1) / rate)
        for k in range(count)
    ]
    # The one sampled frame of a video shorter than that is not wholly in it.
    found = np.minimum(times.indices(0, count, sample_fps), len(stamps) - 1)
    assert found.tolist() == expected


def test_a_constant_rate_is_found_in_rounded_stamps():
    rate = Fraction(30000, 1001)
    stamps = [int(index / rate / Fraction(1, 1000)) for index in range(500)]
    times = times_from_stamps(stamps, Fraction(1, 1000), rate)
    assert times.starts_s is None and times.duration_s == pytest.approx(500 / rate)
    assert np.array_equal(
        times.indices(0, 150, 10), source_frame_indices(0, 150, float(rate), 10)
    )
    # One frame that was dropped moves all behind it.
    dropped = times_from_stamps(stamps[:200] + stamps[201:], Fraction(1, 1000), rate)
    assert dropped.starts_s is not None
    assert dropped.indices(149, 1, 10)[0] == times.indices(149, 1, 10)[0] - 1


def test_stamps_that_tell_nothing():
    assert times_from_stamps([], TICK, Fraction(25)) is None
    assert times_from_stamps([None, None], TICK, None) is None
    counted = times_from_stamps([None, 2, 1], TICK, Fraction(25))
    assert (counted.num_frames, counted.starts_s) == (3, None)
    lone = times_from_stamps([7], TICK, None)
    assert (lone.count(10), lone.duration_s) == (1, 0.04)


def test_a_file_of_a_varying_rate_is_sampled_as_inference_does(
    make_video, number_of, tmp_path
):
    path = make_video(tmp_path / 'v.mp4', 10, times=TIMES)
    times = read_frame_times(path)
    np.testing.assert_allclose(times.starts_s, TIMES, atol=1e-4)
    count = times.count(10)
    sampled = list(FrameSampler(VideoStream(path).frames(), 10))
    assert [number_of(image) for image in sampled] == times.indices(
        0, count, 10
    ).tolist()
    assert read_frame_times(path) is times  # read once


def test_a_file_of_a_constant_rate(make_video, tmp_path):
    path = make_video(tmp_path / 'v.mp4', 30, Fraction(30000, 1001))
    times = read_frame_times(path)
    assert (times.num_frames, times.starts_s) == (30, None)
    assert times.duration_s == pytest.approx(1.001)
