"""Reading videos by frame numbers and times, and writing them."""

from __future__ import annotations

import os
import struct
import wave
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from index_brightness import VIDEO, shown

from mmtal_mts.datasets import ArrayReader, VideoReader, VideoReadError, video
from mmtal_mts.datasets.video import announced_duration_s, write_video

# Frames by their number


@pytest.mark.parametrize('num_threads', [0, 1])
def test_any_start_seeks_to_the_right_frame(num_threads):
    for first in range(40):
        indices = list(range(first, min(first + 14, 40), 5))
        assert shown(VideoReader(VIDEO, num_threads).read(indices)) == indices
    # One reader, forwards and backwards.
    reader = VideoReader(VIDEO, num_threads)
    for first in (20, 3, 38, 0, 11):
        assert shown(reader.read([first, first + 1])) == [first, first + 1]
    # In the order that was asked for; what comes after the end is left out.
    assert shown(reader.read([7, 3, 7, 30])) == [7, 3, 7, 30]
    assert shown(reader.read([38, 39, 40, 41])) == [38, 39]
    assert reader.read([]) == []


def test_overlapping_calls_and_two_preparations_share_one_pass(monkeypatch):
    decoded, prepared, original = [], [], VideoReader._frame
    monkeypatch.setattr(
        VideoReader, '_frame', lambda self, i: decoded.append(i) or original(self, i)
    )

    def note(image):
        prepared.append(shown([image])[0])
        return image[::2]

    reader = VideoReader(VIDEO)
    for first in (0, 8, 16):
        found = reader.read(range(first, first + 16), note)
        assert shown(found) == list(range(first, first + 16))
        assert found[0].shape == (16, 32, 3)
        reader.read(range(first, first + 16), np.negative)
    # Only the first window has to be decoded twice.
    assert decoded == [*range(16), *range(32)] and prepared == list(range(32))
    with pytest.raises(ValueError, match='read-only'):
        found[0][0] = 0


@pytest.mark.parametrize(
    ('name', 'codec', 'fps', 'size', 'sound'),
    [
        ('v.mp4', 'libx264', 30, (48, 32), False),
        ('v.avi', 'mpeg4', 30, (48, 32), False),
        ('v.mkv', 'libx264', Fraction(30_000, 1001), (48, 32), False),
        ('ä b.mov', 'libx264', 25, (37, 23), True),
    ],
)
def test_containers_codecs_odd_sizes_and_sound(
    name, codec, fps, size, sound, tmp_path, make_video, number_of
):
    facts = dict(codec=codec, size=size, with_sound=sound)
    path = make_video(tmp_path / name, 40, fps, **facts)
    reader = VideoReader(path)
    assert reader.num_frames == 40 and reader.times.starts_s is None
    assert reader.fps == pytest.approx(float(fps))
    assert reader.duration_s == pytest.approx(40 / fps, abs=1e-6)
    assert announced_duration_s(path) == pytest.approx(40 / fps, abs=0.05)
    assert not reader.warnings
    found = [(index, number_of(image)) for index, image in reader.frames()]
    assert found == [(index, index) for index in range(40)]
    images = reader.read([0, 13, 39])
    assert [number_of(image) for image in images] == [0, 13, 39]
    assert images[0].shape == (*size[::-1], 3)


def test_rotated_video_is_upright(tmp_path, make_video):
    path = Path(make_video(tmp_path / 'v.mp4', 5, size=(64, 32)))
    # By 90 degrees clockwise, in the track header of the MP4 file.
    data = bytearray(path.read_bytes())
    begin = data.find(b'tkhd') + 4 + 4 + 20 + 16
    matrix = 0, 1 << 16, 0, -1 << 16, 0, 0, 0, 0, 1 << 30
    data[begin : begin + 36] = struct.pack('>9i', *matrix)
    path.write_bytes(data)
    (image,) = VideoReader(path).read([4])
    assert image.shape == (64, 32, 3)
    # The left half of frame 4 is the lighter one; clockwise it comes to the top.
    assert image[:28].mean() > image[36:].mean() + 40


def test_sound_that_begins_before_the_pictures(tmp_path, make_video):
    path = make_video(tmp_path / 'v.mp4', 10, 10, with_sound=True, delay=1.5)
    reader = VideoReader(path)
    assert reader.first_frame_s == pytest.approx(1.5, abs=0.05)
    starts = [reader.times.start_s(index) for index in range(10)]
    assert starts == pytest.approx(np.arange(10) / 10)
    usual = VideoReader(make_video(tmp_path / 'w.mp4', 10, 10, with_sound=True))
    assert usual.first_frame_s == pytest.approx(0, abs=0.05)


def test_frames_on_screen_at_given_times(tmp_path, make_video, number_of):
    reader = VideoReader(make_video(tmp_path / 'v.mp4', 250, 10))
    times = [0.0, 0.0999, 3.14, 12.5, 24.95, 99.0]
    assert [number_of(reader.at(t)) for t in times] == [0, 0, 31, 125, 249, 249]
    times = [0.0, 0.1, 0.15, 0.7, 9.5, 30.0]
    reader = VideoReader(make_video(tmp_path / 'w.mp4', 6, times=times))
    np.testing.assert_allclose(reader.times.starts_s, times, atol=1e-4)
    assert [number_of(image) for image in reader.read([4, 5, 1])] == [4, 5, 1]
    assert [number_of(reader.at(t)) for t in (0.4, 9.0, 9.6, 30.1)] == [2, 3, 4, 5]


# Files that are not as they should be


def test_files_without_time_stamps_are_counted():
    reader = VideoReader(VIDEO)
    reader._stamps, reader._keys = None, [0]
    assert shown(reader.read([15, 30])) == [15, 30]
    assert shown(reader.read([3])) == [3]


@pytest.mark.parametrize('lands_late', [True, False])
def test_after_a_seek_that_fails_reading_begins_anew(lands_late, monkeypatch):
    reader, sought = VideoReader(VIDEO), []
    reader._keys = [0, 11]
    late = int(reader._stamps[33])

    class Container:
        def __init__(self, path):
            self.container = real(path)

        def __getattr__(self, name):
            return getattr(self.container, name)

        def seek(self, stamp, **more):
            sought.append(stamp)
            if not lands_late:
                raise av.error.PermissionError(1, 'no seeking')
            self.container.seek(late, **more)

    real = av.open
    monkeypatch.setattr(av, 'open', Container)
    assert shown(reader.read([15, 20])) == [15, 20]
    assert sought == [reader._stamps[11]]


def test_what_is_no_video_names_the_file(tmp_path):
    path = tmp_path / 'v.mp4'
    with wave.open(str(path), 'wb') as sound:
        sound.setparams((1, 2, 8000, 0, 'NONE', ''))
        sound.writeframes(bytes(4000))
    for content, message in (
        (path.read_bytes(), 'has no video stream'),
        (b'', 'it is empty'),
        (b'no video at all' * 20, 'cannot be opened as a video'),
    ):
        path.write_bytes(content)
        with pytest.raises(VideoReadError, match=rf'v\.mp4.*{message}'):
            VideoReader(path)
        assert announced_duration_s(str(path)) == 0
    with pytest.raises(VideoReadError, match='no such video file'):
        VideoReader(tmp_path / 'gone.mp4')


def test_cut_file_gives_what_it_has_and_tells(tmp_path, make_video, number_of):
    path = Path(make_video(tmp_path / 'v.avi', 200, codec='mpeg4', size=(128, 96)))
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 3])
    reader = VideoReader(path)
    assert 20 < reader.num_frames < 120
    numbers = [number_of(image) for image in reader.read(range(reader.num_frames))]
    assert numbers[:20] == list(range(20))
    assert 'though its header announces 6.67 s' in reader.warnings[0]


def test_damaged_middle_is_replaced_by_what_comes_after_it(tmp_path, make_video):
    path = Path(make_video(tmp_path / 'v.mkv', 100, size=(128, 96)))
    data = bytearray(path.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 300] = bytes(300)
    path.write_bytes(data)
    reader = VideoReader(path)
    assert len(list(reader.frames())) > 20
    assert len(reader.read(range(reader.num_frames))) > 20


def test_file_that_tells_no_rate(monkeypatch):
    monkeypatch.setattr(video.timebase, 'times_from_stamps', lambda *facts: None)
    video._scan.cache_clear()
    with pytest.raises(VideoReadError, match='does not tell its frame rate; add "fps"'):
        VideoReader(VIDEO)
    assert VideoReader(VIDEO, default_fps=20).duration_s == 2


def test_a_process_that_was_forked_reads_on_by_itself():
    reader = VideoReader(VIDEO)
    reader.read([5])
    receiver, sender = os.pipe()
    pid = os.fork()
    if not pid:
        os.write(sender, bytes(shown(reader.read([6, 20]))))
        os._exit(0)
    os.waitpid(pid, 0)
    assert list(os.read(receiver, 10)) == [6, 20]
    assert shown(reader.read([7, 8])) == [7, 8]


# Arrays and generators

PICTURES = [np.full((32, 48, 3), 20 + 5 * index, np.uint8) for index in range(25)]


def test_arrays_are_read_like_files():
    reader = ArrayReader(np.stack(PICTURES[:5]), 29.97002997)
    assert reader.times.start_s(4) == pytest.approx(4 * 1001 / 30_000)
    assert reader.duration_s == pytest.approx(5 * 1001 / 30_000)
    assert shown(reader.read([3, 0, 7])) == [3, 0]
    assert shown(reader.read([1], lambda image: image + 5)) == [2]
    assert shown(map(reader.at, [0.0, 0.05, 9.0])) == [0, 1, 4]
    assert [index for index, _ in reader.frames()] == list(range(5))


def test_generators_are_read_as_far_as_needed():
    made = []
    reader = ArrayReader((made.append(0) or image for image in PICTURES[:20]), 10)
    assert reader.num_frames is None
    assert shown(reader.read([2, 4])) == [2, 4] and len(made) == 5
    assert shown(reader.read([3, 5])) == [3, 5]
    with pytest.raises(VideoReadError, match='cannot be had again; give an array'):
        reader.read([2])
    assert not reader.reaches(20) and reader.num_frames == 20
    assert reader.duration_s == 2


@pytest.mark.parametrize('kind', [list, iter])
@pytest.mark.parametrize(
    ('frame', 'found'),
    [
        (np.zeros((4, 4), np.uint8), r'uint8 \(4, 4\)'),
        (np.zeros((4, 4, 3)), 'float64'),
        (np.zeros((0, 4, 3), np.uint8), r'uint8 \(0, 4, 3\)'),
    ],
)
def test_unusable_arrays_and_rates(kind, frame, found):
    with pytest.raises(VideoReadError, match=f'frame 0 is {found}'):
        ArrayReader(kind([frame]), 10).read([0])
    with pytest.raises(VideoReadError, match='there is no frame'):
        ArrayReader(kind([]), 10)
    for fps in (0, -1, float('nan'), float('inf')):
        with pytest.raises(ValueError, match='fps must be positive'):
            ArrayReader(kind([]), fps)


# Writing


def test_written_videos_are_read_again_and_equal_to_the_byte(tmp_path):
    for name in 'ab':
        assert write_video(tmp_path / f'{name}.mp4', iter(PICTURES), 10) == 25
    assert (tmp_path / 'a.mp4').read_bytes() == (tmp_path / 'b.mp4').read_bytes()
    reader = VideoReader(tmp_path / 'a.mp4')
    assert reader.fps == 10
    assert shown(reader.read(range(25))) == list(range(25))


def test_a_writer_that_fails_leaves_nothing(tmp_path):
    with pytest.raises(ValueError, match='torn'):
        write_video(tmp_path / 'v.mp4', map(np.uint8, [PICTURES[0], 'torn']), 10)
    assert not list(tmp_path.iterdir())
