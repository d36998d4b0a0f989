"""Conversions of time, and the frames that stand for sampled ones."""

from __future__ import annotations

import itertools
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mmtal_mts.structures.timebase import (
    FrameTimes,
    frames_to_seconds,
    num_sampled_frames,
    seconds_to_frames,
    source_frame_indices,
    times_from_stamps,
    unwrap_stamps,
    window_to_video_s,
)

NTSC = 30000 / 1001
RATES_OUT = (0, -1, float('nan'), float('inf'))


def test_the_last_frame_of_each_interval_is_taken():
    assert source_frame_indices(0, 4, 30, 10).tolist() == [2, 5, 8, 11]
    assert source_frame_indices(2, 2, 30, 10).tolist() == [8, 11]
    assert source_frame_indices(0, 0, 30, 10).shape == (0,)
    # After 1000 s, NTSC and 30 fps are 30 source frames apart.
    assert source_frame_indices(9999, 1, 30, 10)[0] == 29999
    assert source_frame_indices(9999, 1, NTSC, 10)[0] == 29970
    # A whole video, resampled, stays inside.
    indices = source_frame_indices(0, 768, NTSC, 768 / 123.45)
    assert indices[0] >= 0
    assert indices[-1] in (int(123.45 * NTSC) - 1, int(123.45 * NTSC))


@pytest.mark.parametrize(
    ('source', 'sample'), [(25, 10), (NTSC, 10), (24000 / 1001, 10), (10, 10), (5, 10)]
)
def test_equals_counting_frames(source, sample):
    # Slow: each source frame fills up intervals; the frame that fills one is kept.
    step, kept = Fraction(sample) / Fraction(source).limit_denominator(1001), []
    for index in itertools.count():
        kept += [index] * (int((index + 1) * step) - len(kept))
        if len(kept) >= 20_000:
            break
    # Rounded to float32, as some decoders tell it, the rate gives the same frames.
    for rate in (source, float(np.float32(source))):
        assert source_frame_indices(0, 20_000, rate, sample).tolist() == kept[:20_000]


@given(st.integers(1, 240), st.integers(1, 60), st.integers(1, 5000))
def test_every_counted_frame_exists(source, sample, num_frames):
    count = FrameTimes(num_frames, source).count(sample)
    last = source_frame_indices(count - 1, 1, source, sample)[0]
    following = source_frame_indices(count, 1, source, sample)[0]
    assert following >= num_frames
    # A video shorter than one interval still counts one frame.
    assert last < num_frames or count == 1


def test_counts():
    assert FrameTimes(5091, 30).count(10) == 1697
    assert FrameTimes(4991, 30).count(10) == 1663
    for seconds, count in ((0.1 + 0.2, 3), (2.9999999, 30), (31.13, 311), (0.02, 1)):
        assert num_sampled_frames(10, duration_s=seconds) == count


@given(st.floats(0, 1e5), st.floats(0.1, 240))
def test_seconds_and_frames_are_inverse(seconds, fps):
    frames = seconds_to_frames(seconds, fps)
    assert frames_to_seconds(frames, fps) == pytest.approx(seconds, rel=1e-12)


@pytest.mark.parametrize(
    ('message', 'function', 'values'),
    [
        ('positive', lambda fps: source_frame_indices(0, 1, fps, 10), RATES_OUT),
        ('positive', lambda fps: seconds_to_frames(1.0, fps), RATES_OUT),
        ('sample_fps must be a pos', lambda fps: window_to_video_s(1, 0, fps), [0]),
        ('positive', lambda fps: FrameTimes(10, 30).count(fps), RATES_OUT),
        ('duration_s', lambda s: num_sampled_frames(10, s), RATES_OUT),
        ('num_frames', lambda number: FrameTimes(number, 30).count(10), [0]),
        ('negative', lambda first: source_frame_indices(first, 1, 30, 10), [-1]),
    ],
)
def test_impossible_rates_and_lengths_are_errors(message, function, values):
    for value in values:
        with pytest.raises(ValueError, match=message):
            function(value)


def test_places_in_windows():
    for kind in (np.array, torch.tensor):
        frames = kind([[0.0, 5.0], [2.5, 10.0]])
        seconds = window_to_video_s(frames, 20, 10)
        assert type(seconds) is type(frames)
        assert seconds.tolist() == [[2.0, 2.5], [2.25, 3.0]]
        assert (seconds_to_frames(seconds, 10) - 20).tolist() == frames.tolist()


# When frames are shown

TICK = Fraction(1, 90_000)
TICKS = st.sampled_from([Fraction(1, 1000), TICK, Fraction(1, 15_360)])
RATES = st.sampled_from(
    [Fraction(n) for n in ('10', '24', '25', '30', '60', '30000/1001', '24000/1001')]
)


def test_frames_of_a_varying_rate():
    starts = np.array([0.0, 0.3, 0.4, 0.45, 0.8])
    times = FrameTimes(5, 5.0, starts, 1.0)
    assert times.count(10) == 10
    # A frame that begins at the very end of an interval belongs to the next one.
    assert times.indices(0, 10, 10).tolist() == [0, 0, 0, 1, 3, 3, 3, 3, 4, 4]
    assert times.indices(7, 2, 10).tolist() == [3, 4]
    assert times.indices(0, 2, 2).tolist() == [3, 4]
    assert times.shown_at([-1, 0.29, 0.3, 0.44, 5]).tolist() == [0, 0, 1, 2, 4]
    assert times.start_s(2) == 0.4 and times.start_s(9) == times.duration_s == 1.0
    # What is beyond the end has indices of frames that do not exist.
    assert times.indices(9, 3, 10).tolist() == [4, 5, 5]
    constant = FrameTimes(10, 10.0)
    assert constant.indices(9, 3, 10).tolist() == [9, 10, 11]
    assert constant.start_s(3) == 0.3


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


@given(RATES, TICKS, st.integers(0, 10**6), st.integers(1, 200))
def test_a_constant_rate_is_found_in_rounded_stamps(rate, tick, start, count):
    stamps = [start + round(index / rate / tick) for index in range(count)]
    times = times_from_stamps(stamps, tick, rate)
    assert times.starts_s is None and times.num_frames == count
    assert times.duration_s == pytest.approx(count / rate)


def test_a_dropped_frame_moves_all_behind_it():
    rate, tick = Fraction(30000, 1001), Fraction(1, 1000)
    stamps = [int(index / rate / tick) for index in range(500)]
    times = times_from_stamps(stamps, tick, rate)
    dropped = times_from_stamps(stamps[:200] + stamps[201:], tick, rate)
    # Up to there, times are exact.
    assert dropped.starts_s[:200].tolist() == [float(i / rate) for i in range(200)]
    assert dropped.indices(149, 1, 10)[0] == times.indices(149, 1, 10)[0] - 1


@given(st.lists(st.integers(2, 500), min_size=3, max_size=30))
def test_a_varying_rate_follows_the_stamps(steps):
    tick = Fraction(1, 1000)
    stamps = np.cumsum([7, *steps]).tolist()
    # A step of one tick would be the rate; none is.
    times = times_from_stamps(stamps, tick, Fraction(1000))
    assert times.starts_s[2:].tolist() == [float((s - 7) * tick) for s in stamps[2:]]
    assert times.end_s == float((stamps[-1] - 7) * tick + tick)


def test_odd_stamps():
    # Order does not matter, and time never runs backwards.
    times = times_from_stamps([0, 100, 50, 200], Fraction(1, 1000), None)
    assert times.starts_s.tolist() == [0, 0.05, 0.1, 0.2]
    assert times_from_stamps([], TICK, Fraction(25)) is None
    assert times_from_stamps([None, None], TICK, None) is None
    counted = times_from_stamps([None, 2, 1], TICK, Fraction(25))
    assert (counted.num_frames, counted.starts_s) == (3, None)
    lone = times_from_stamps([7], TICK, None)
    assert (lone.count(10), lone.duration_s) == (1, 0.04)


@pytest.mark.parametrize('jump', [2**33, -(2**20)])
def test_stamps_go_on_where_their_counter_jumps(jump):
    stamps = [index * 3600 + (jump if index >= 500 else 0) for index in range(700)]
    found = unwrap_stamps(stamps, stamps, TICK, Fraction(25))
    assert found == [index * 3600 for index in range(700)]
    assert unwrap_stamps(stamps[:500], stamps[:500], TICK, None) == stamps[:500]
    # Frames that are shown earlier than others that are decoded first do not jump.
    shown = [0, 90_000 * 30, 90_000 * 9]
    assert unwrap_stamps(shown, [-2, -1, 0], TICK, None) == shown
