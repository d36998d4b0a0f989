"""Which frames of a video are extracted."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmtal_mts.datasets.extraction import SampledVideo, SamplingGrid
from mmtal_mts.datasets.frame_times import FrameTimes
from mmtal_mts.datasets.transforms import VideoReadError
from mmtal_mts.datasets.transforms.video_readers import available_backends

# Frame i of 40 is grey of value 20 + 5 i; 30 fps.
VIDEO = str(Path(__file__).parents[2] / 'data' / 'index_brightness.mp4')
RATES = [
    Fraction(10),
    Fraction(25, 2),
    Fraction(24000, 1001),
    Fraction(24),
    Fraction(25),
    Fraction(30000, 1001),
    Fraction(30),
    Fraction(50),
    Fraction(60000, 1001),
]


def accumulate(num_frames, fps, sample_fps):
    """AFSD's loop: a frame is kept when 1 / sample_fps has passed since the last."""
    kept, passed = [], Fraction(0)
    for index in range(num_frames):
        passed += 1
        if passed >= fps / sample_fps:
            kept.append(index)
            passed -= fps / sample_fps
    return kept


def shown(frames):
    return [round((float(frame.mean()) - 20) / 5) for frame in frames]


@settings(max_examples=60, deadline=None)
@given(st.integers(10, 3000), st.sampled_from(RATES), st.sampled_from([5, 10]))
def test_frames_and_counts_are_those_of_afsd(num_frames, fps, sample_fps):
    kept = accumulate(num_frames, fps, sample_fps)
    grid = SamplingGrid(float(sample_fps))
    times = FrameTimes(num_frames, float(fps))
    indices = grid.indices(times)
    if kept:
        assert indices.tolist() == kept
    else:  # a video shorter than one interval still has one frame
        assert indices.tolist() == [num_frames - 1]
    assert grid.count(times) == len(indices)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 5000), st.integers(1, 900))
def test_fixed_number_of_frames_covers_every_video_evenly(num_source, num_frames):
    indices = SamplingGrid(None, num_frames).indices(FrameTimes(num_source, 29.97))
    assert len(indices) == num_frames
    assert indices[0] >= 0 and indices[-1] == num_source - 1
    steps = np.diff(indices)
    ratio = num_source / num_frames
    assert ((steps >= np.floor(ratio)) & (steps <= np.ceil(ratio))).all()


def test_fixed_number_closed_forms():
    assert SamplingGrid(None, 6).indices(FrameTimes(3, 25.0)).tolist() == [
        0,
        0,
        1,
        1,
        2,
        2,
    ]
    indices = SamplingGrid(None, 768).indices(FrameTimes(1536, 25.0))
    assert indices.tolist() == list(range(1, 1536, 2))


@pytest.mark.parametrize('backend', available_backends())
def test_video_is_read_at_the_rate(backend):
    video = SampledVideo(VIDEO, SamplingGrid(10), 16, backend)
    frames = list(video)
    assert len(frames) == video.num_frames == 13
    assert shown(frames) == list(range(2, 40, 3))
    assert {frame.shape for frame in frames} == {(16, 16, 3)}
    assert {frame.dtype for frame in frames} == {np.dtype('uint8')}


@pytest.mark.parametrize('num_frames', [1, 7, 40, 100])
def test_video_is_read_in_a_fixed_number_of_frames(num_frames):
    grid = SamplingGrid(None, num_frames)
    frames = shown(SampledVideo(VIDEO, grid, 16, 'opencv'))
    assert frames == grid.indices(FrameTimes(40, 30.0)).tolist()


@pytest.mark.parametrize('backend', available_backends())
def test_a_varying_rate_is_sampled_by_time(backend, make_video, number_of, tmp_path):
    # Frame 0 stays for a second, the others for 0.1 s each, the last for no time.
    times = [0.0, *(1.0 + 0.1 * k for k in range(9))]
    path = make_video(tmp_path / 'v.mp4', 10, times=times, size=(64, 48))

    def numbers(grid):
        return [number_of(f) for f in SampledVideo(path, grid, 32, backend)]

    assert numbers(SamplingGrid(10)) == [0] * 10 + list(range(1, 9))
    # Evenly over the 1.8 seconds, not over the ten frames.
    assert numbers(SamplingGrid(None, 4)) == [0, 0, 4, 9]


def test_what_the_file_lacks_at_its_end():
    class Torn:
        num_frames, fps = 40, 30.0

        def __init__(self, found):
            self.found = found

        def read(self, indices):
            for index in indices[indices < self.found].tolist():
                yield np.full((16, 16, 3), 20 + 5 * index, dtype=np.uint8)

    video = SampledVideo(VIDEO, SamplingGrid(10), 16, 'opencv')
    video._reader = Torn(30)  # 10 of 40 frames, a third of a second
    assert shown(video) == [*range(2, 30, 3), 29, 29, 29]
    for found in (0, 3):
        video._reader = Torn(found)
        with pytest.raises(
            VideoReadError, match=rf'cut off at frame {found + 2} of 40'
        ):
            list(video)


@pytest.mark.parametrize(
    'fps, num_frames',
    [(None, None), (10, 5), (0, None), (None, 0), (float('nan'), None)],
)
def test_impossible_grids(fps, num_frames):
    with pytest.raises(ValueError, match='fps'):
        SamplingGrid(fps, num_frames)
