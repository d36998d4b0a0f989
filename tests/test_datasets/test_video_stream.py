from __future__ import annotations

import struct
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmtal_mts.datasets import VideoReadError
from mmtal_mts.datasets.frame_clock import FrameClock
from mmtal_mts.datasets.frame_grabber import grab_frames
from mmtal_mts.datasets.video_stream import ArrayStream, VideoStream

TICKS = st.sampled_from([Fraction(1, 1000), Fraction(1, 90_000), Fraction(1, 15_360)])
RATES = st.sampled_from([Fraction(n) for n in (10, 24, 25, 30, 60)] + [
    Fraction(30_000, 1001), Fraction(24_000, 1001)
])  # fmt: skip


@given(RATES, TICKS, st.integers(0, 10**6))
def test_clock_is_exact_at_a_constant_rate(rate, tick, start):
    clock = FrameClock(rate, tick)
    for index in range(200):
        assert clock(start + round(index / rate / tick)) == index / rate
    assert clock.regular


@given(st.lists(st.integers(2, 500), min_size=3, max_size=30))
def test_clock_follows_time_stamps_at_a_varying_rate(steps):
    tick = Fraction(1, 1000)
    clock = FrameClock(Fraction(1000), tick)
    stamps = np.cumsum([7, *steps]).tolist()
    # A step of one tick would be the rate; none is.
    times = [clock(stamp) for stamp in stamps]
    assert times[2:] == [(stamp - 7) * tick for stamp in stamps[2:]]


def test_clock_without_stamps_or_rate():
    counted = FrameClock(Fraction(25), None)
    assert [counted(None) for _ in range(3)] == [0, Fraction(1, 25), Fraction(2, 25)]
    with pytest.raises(ValueError, match='neither time stamps nor a frame rate'):
        FrameClock(None, None)(None)


def test_clock_never_runs_backwards():
    clock = FrameClock(None, Fraction(1, 1000))
    assert [clock(pts) for pts in (0, 100, 50, 200)] == [
        0, Fraction(1, 10), Fraction(1, 10), Fraction(1, 5)
    ]  # fmt: skip


@pytest.mark.parametrize('jump', [2**33, -(2**20)])
def test_clock_goes_on_where_time_stamps_jump(jump):
    clock = FrameClock(Fraction(25), Fraction(1, 90_000))
    stamps = [index * 3600 + (jump if index >= 500 else 0) for index in range(700)]
    assert [clock(pts) for pts in stamps] == [Fraction(i, 25) for i in range(700)]


@pytest.mark.parametrize(
    ('name', 'codec'),
    [('v.mp4', 'libx264'), ('v.avi', 'mpeg4'), ('v.mkv', 'libx264'), ('v.mov', 'h264')],
)
def test_frames_and_times_of_containers(name, codec, tmp_path, make_video, number_of):
    codec = 'libx264' if codec == 'h264' else codec
    path = make_video(tmp_path / name, 40, 30, codec=codec)
    stream = VideoStream(path)
    frames = [(frame.time, number_of(frame.image)) for frame in stream.frames()]
    assert frames == [(Fraction(index, 30), index) for index in range(40)]
    assert stream.announced_s == pytest.approx(40 / 30, abs=0.05)
    assert float(stream.measure()) == pytest.approx(40 / 30, abs=0.05)
    assert not stream.warnings


def test_times_of_a_varying_rate_are_time_stamps(tmp_path, make_video):
    times = [0.0, 0.1, 0.15, 0.7, 1.9, 2.0]
    path = make_video(tmp_path / 'v.mp4', 6, times=times)
    found = [float(frame.time) for frame in VideoStream(path).frames()]
    assert found == pytest.approx(times, abs=1e-4)


def test_rotated_video_is_upright(tmp_path, make_video):
    path = Path(make_video(tmp_path / 'v.mp4', 5, size=(64, 32)))
    data = bytearray(path.read_bytes())
    matrix = data.find(b'tkhd') + 4 + 4 + 20 + 16
    data[matrix : matrix + 36] = struct.pack(
        '>9i', 0, 1 << 16, 0, -1 << 16, 0, 0, 0, 0, 1 << 30
    )
    path.write_bytes(data)
    image = [frame.image for frame in VideoStream(path).frames()][-1]
    assert image.shape == (64, 32, 3)
    # The left half of frame 4 is the lighter one; clockwise it comes to the top.
    assert image[:28].mean() > image[36:].mean() + 40


def test_odd_size_and_sound(tmp_path, make_video, number_of):
    path = make_video(tmp_path / 'ä b.mp4', 6, size=(37, 23), with_sound=True)
    images = [frame.image for frame in VideoStream(path).frames()]
    assert images[0].shape == (23, 37, 3)
    assert [number_of(image) for image in images] == list(range(6))


def test_sound_that_begins_before_the_pictures(tmp_path, make_video):
    path = make_video(tmp_path / 'v.mp4', 10, 10, with_sound=True, delay=1.5)
    stream = VideoStream(path)
    assert stream.first_frame_s == pytest.approx(1.5, abs=0.05)
    times = [float(frame.time) for frame in stream.frames()]
    assert times == pytest.approx(np.arange(10) / 10)
    usual = VideoStream(make_video(tmp_path / 'w.mp4', 10, 10, with_sound=True))
    assert usual.first_frame_s == pytest.approx(0, abs=0.05)


@pytest.mark.parametrize(
    ('content', 'message'),
    [(b'', 'it is empty'), (b'no video at all' * 20, 'cannot be opened as a video')],
)
def test_what_is_no_video_names_the_file(content, message, tmp_path):
    path = tmp_path / 'v.mp4'
    path.write_bytes(content)
    with pytest.raises(VideoReadError, match=rf'v\.mp4.*{message}'):
        VideoStream(path)


def test_missing_file_and_file_without_pictures(tmp_path, make_video):
    av = pytest.importorskip('av')
    with pytest.raises(VideoReadError, match='no such video file'):
        VideoStream(tmp_path / 'gone.mp4')
    with av.open(str(tmp_path / 'sound.mp4'), 'w') as container:
        stream = container.add_stream('aac', rate=16_000)
        silence = np.zeros((1, 1024), dtype=np.float32)
        frame = av.AudioFrame.from_ndarray(silence, 'fltp', 'mono')
        frame.rate = 16_000
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    with pytest.raises(VideoReadError, match='no video stream'):
        VideoStream(tmp_path / 'sound.mp4')


def test_cut_file_gives_what_it_has_and_tells(tmp_path, make_video, number_of):
    path = Path(make_video(tmp_path / 'v.avi', 200, codec='mpeg4', size=(128, 96)))
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 3])
    stream = VideoStream(path)
    numbers = [number_of(frame.image) for frame in stream.frames()]
    assert 20 < len(numbers) < 120
    assert numbers[:20] == list(range(20))
    assert 'though its header announces 6.67 s' in stream.warnings[-1]


def test_damaged_middle_is_left_out(tmp_path, make_video):
    path = Path(make_video(tmp_path / 'v.mkv', 100, size=(128, 96)))
    data = bytearray(path.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 300] = bytes(300)
    path.write_bytes(data)
    stream = VideoStream(path)
    times = [frame.time for frame in stream.frames()]
    assert len(times) > 20 and times == sorted(times)


def test_arrays_and_generators():
    images = np.zeros((5, 4, 6, 3), dtype=np.uint8)
    stream = ArrayStream(images, 29.97002997)
    assert [frame.time for frame in stream.frames()][-1] == Fraction(4 * 1001, 30_000)
    assert stream.measure() == Fraction(5 * 1001, 30_000)
    generated = ArrayStream(iter(images), 10)
    assert generated.announced_s is None
    with pytest.raises(VideoReadError, match='not known in advance'):
        generated.measure()
    assert len(list(generated.frames())) == 5


@pytest.mark.parametrize(
    ('frames', 'message'),
    [
        ([], 'there is no frame'),
        ([np.zeros((4, 4), np.uint8)], r'frame 0 is uint8 \(4, 4\)'),
        ([np.zeros((4, 4, 3))], 'frame 0 is float64'),
        ([np.zeros((0, 4, 3), np.uint8)], 'is empty'),
    ],
)
def test_unusable_arrays(frames, message):
    with pytest.raises(VideoReadError, match=message):
        list(ArrayStream(frames, 10).frames())


@pytest.mark.parametrize('fps', [0, -1, float('nan'), float('inf')])
def test_impossible_rate(fps):
    with pytest.raises(ValueError, match='fps must be positive'):
        ArrayStream([], fps)


# Single frames


def test_grabbed_frames_are_those_on_screen(tmp_path, make_video, number_of):
    path = make_video(tmp_path / 'v.mp4', 250, 10)
    times = [24.95, 0.0, 3.14, 0.0999, 12.5, 99.0]
    found = [(time, number_of(image)) for time, image in grab_frames(path, times)]
    assert found == [
        (0.0, 0), (0.0999, 0), (3.14, 31), (12.5, 125), (24.95, 249), (99.0, 249)
    ]  # fmt: skip


def test_grabbed_frames_follow_time_stamps(tmp_path, make_video, number_of):
    path = make_video(tmp_path / 'v.mp4', 4, times=[0.0, 0.5, 9.5, 30.0])
    found = [number_of(image) for _, image in grab_frames(path, [0.4, 9.0, 9.6, 30.1])]
    assert found == [0, 1, 2, 3]


def test_grabbing_from_a_broken_file(tmp_path):
    (tmp_path / 'v.mp4').write_bytes(b'x' * 100)
    with pytest.raises(VideoReadError, match='no frame can be decoded'):
        grab_frames(tmp_path / 'v.mp4', [0.0])
