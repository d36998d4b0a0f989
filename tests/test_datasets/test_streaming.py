from __future__ import annotations

import threading
import time
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmtal_mts.datasets.streaming import FrameSampler, run_ahead, sliding_windows
from mmtal_mts.datasets.video_stream import TimedFrame
from mmtal_mts.datasets.windows import window_offsets
from mmtal_mts.structures.timebase import num_sampled_frames, source_frame_indices

RATES = st.sampled_from([5, 7.5, 10, 12, 24, 25, 29.97002997, 30, 59.94005994, 60])


def at(times, last=Fraction(1, 10)):
    """Frames whose picture is their index."""
    ends = [*times[1:], times[-1] + last] if times else []
    return [
        TimedFrame(begin, end - begin, lambda index=index: index)
        for index, (begin, end) in enumerate(zip(times, ends))
    ]


@given(st.integers(1, 200), RATES, RATES)
def test_constant_rate_is_sampled_as_the_data_set_does(count, source_fps, sample_fps):
    from mmtal_mts.structures.timebase import exact_rate

    rate = exact_rate(source_fps)
    frames = at([index / rate for index in range(count)], 1 / rate)
    sampler = FrameSampler(frames, sample_fps)
    found = list(sampler)
    expected = num_sampled_frames(
        sample_fps, num_source_frames=count, source_fps=source_fps
    )
    indices = source_frame_indices(0, expected, source_fps, sample_fps, count)
    assert found == indices.tolist()
    assert sampler.duration == pytest.approx(count / source_fps)


@given(
    st.lists(st.integers(1, 900), min_size=1, max_size=40),
    st.sampled_from([2, 10, 25]),
)
def test_varying_rate_shows_the_last_frame_of_each_interval(steps, fps):
    times = [Fraction(int(t), 1000) for t in np.cumsum([0, *steps[:-1]])]
    sampler = FrameSampler(at(times, Fraction(steps[-1], 1000)), fps)
    found = list(sampler)
    end = Fraction(sum(steps), 1000)
    assert len(found) == max(int(end * fps), 1)
    for k, index in enumerate(found[: int(end * fps)]):
        before = [i for i, t in enumerate(times) if t < Fraction(k + 1, fps)]
        assert index == before[-1]


def test_one_frame_and_none():
    assert list(FrameSampler(at([Fraction(0)]), 2)) == [0]
    assert list(FrameSampler([], 2)) == []


@given(st.integers(1, 60), st.integers(1, 20), st.integers(1, 25))
def test_windows_are_those_of_the_data_set(count, clip_len, stride):
    windows = list(sliding_windows(range(count), clip_len, stride))
    assert [offset for offset, _ in windows] == window_offsets(count, clip_len, stride)
    for offset, frames in windows:
        assert frames == list(range(count))[offset : offset + clip_len]


def test_no_frame_gives_no_window_and_bad_lengths_are_told():
    assert list(sliding_windows([], 4, 2)) == []
    with pytest.raises(ValueError, match='must be positive, got 0 and 1'):
        list(sliding_windows([1], 0, 1))


# A thread that works ahead


def test_order_and_end():
    assert list(run_ahead(range(100), 3)) == list(range(100))
    assert list(run_ahead([], 3)) == []


def test_error_of_the_thread_is_raised_after_the_items_before_it():
    def items():
        yield 1
        raise KeyError('torn')

    found = []
    with pytest.raises(KeyError, match='torn'):
        for item in run_ahead(items(), 2):
            found.append(item)
    assert found == [1]


def test_no_more_than_the_depth_is_made_in_advance():
    made = []

    def items():
        for index in range(50):
            made.append(index)
            yield index

    for done, _ in enumerate(run_ahead(items(), 3)):
        time.sleep(0.002)
        # One in hand, three waiting, one waits to get in.
        assert len(made) <= done + 1 + 3 + 1


def test_leaving_early_ends_the_thread():
    before = threading.active_count()
    items = run_ahead(iter(int, 1), 2)
    assert next(items) == 0
    items.close()
    assert threading.active_count() == before
