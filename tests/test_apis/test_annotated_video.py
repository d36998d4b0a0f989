from __future__ import annotations

from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from mmtal_mts.apis.annotated_video import (
    AnnotatedVideoWriter,
    is_playable,
    write_preview,
)
from mmtal_mts.apis.writers import Selection, TimelineWriter, VideoResult
from mmtal_mts.datasets.video import VideoReader
from mmtal_mts.structures import Segments
from mmtal_mts.utils import UserError


def result(path, duration, segments=((0.5, 1.0),), name='jump'):
    scores = np.linspace(0.9, 0.5, len(segments))
    found = Segments(segments, np.zeros(len(segments)), scores)
    return VideoResult('v', found, (name,), duration, path and str(path))


def times_and_sound(path):
    reader = VideoReader(path)
    frames = [reader.times.start_s(index) for index, _ in reader.frames()]
    with av.open(str(path)) as container:
        return frames, [s.codec_context.name for s in container.streams.audio]


def test_annotated_video_keeps_times_and_sound(tmp_path, make_video):
    path = make_video(tmp_path / 'v.mp4', 30, 20, with_sound=True)
    out = tmp_path / 'out.mp4'
    AnnotatedVideoWriter(Selection()).write(result(path, 1.5), out)
    times, sound = times_and_sound(out)
    assert times == pytest.approx(np.arange(30) / 20, abs=1e-4)
    assert sound == ['aac']
    with av.open(str(out)) as container:
        (audio,) = container.streams.audio
        assert float(audio.duration * audio.time_base) == pytest.approx(1.5, abs=0.15)
    # The decoder of mp3 has another name than the codec.
    path = make_video(tmp_path / 'v.avi', 30, 20, codec='mpeg4', with_sound=True)
    AnnotatedVideoWriter(Selection()).write(result(path, 1.5), out)
    assert times_and_sound(out)[1] == ['mp3float']
    times = [0.0, 0.2, 0.25, 1.9, 4.0]
    path = make_video(tmp_path / 'w.mkv', 5, times=times)
    AnnotatedVideoWriter(Selection()).write(result(path, 4.1), out)
    assert times_and_sound(out) == (pytest.approx(times, abs=1e-3), [])


def test_sound_that_begins_before_the_pictures(tmp_path, make_video):
    path = make_video(tmp_path / 'v.mp4', 20, 10, with_sound=True, delay=1.0)
    out = tmp_path / 'out.mp4'
    AnnotatedVideoWriter(Selection()).write(result(path, 2.0), out)
    with av.open(str(out)) as container:
        lengths = {s.type: float(s.duration * s.time_base) for s in container.streams}
    assert lengths['video'] == pytest.approx(2, abs=0.15)
    assert lengths['audio'] == pytest.approx(2, abs=0.15)
    assert VideoReader(out).first_frame_s == pytest.approx(0, abs=0.1)


def test_annotated_video_shows_what_happens(tmp_path, make_video):
    path = make_video(tmp_path / 'v.mp4', 40, 20, size=(48, 32))
    out = tmp_path / 'out.mp4'
    AnnotatedVideoWriter(Selection()).write(result(path, 2.0), out)
    before, during = map(VideoReader(out).at, [0.25, 0.75])
    # Enlarged, and with a panel below.
    assert before.shape == during.shape and before.shape[1] == 480
    assert before.shape[0] > 320
    plain_before, plain = map(VideoReader(path).at, [0.25, 0.75])
    corner, rest = np.s_[8:24, 10:60], np.s_[100:300, 20:200]
    # The label covers the corner with a dark ground, and only while it happens.
    assert abs(before[corner].mean() - plain_before[:, :20].mean()) < 12
    assert abs(during[corner].mean() - plain[:, :20].mean()) > 40
    assert abs(during[rest].mean() - plain[:, :20].mean()) < 12
    # The cursor of the panel moves.
    panel = np.s_[330:, 100:]
    assert np.abs(before[panel].astype(int) - during[panel]).max() > 100


@pytest.mark.parametrize('segments', [(), ((0, 0.4), (0.1, 0.3), (0, 0.1))])
@pytest.mark.parametrize('name', ['x', 'a very long name ' * 20, '跳 <b>', ''])
def test_any_label_and_number_of_detections(segments, name, tmp_path, make_video):
    path = make_video(tmp_path / 'v.mp4', 4, 10, size=(37, 23))
    shown = result(path, 0.4, segments, name)
    AnnotatedVideoWriter(Selection()).write(shown, tmp_path / 'out.mp4')
    assert len(times_and_sound(tmp_path / 'out.mp4')[0]) == 4


def test_annotated_video_needs_a_file(tmp_path):
    with pytest.raises(UserError, match='needs a video file'):
        AnnotatedVideoWriter(Selection()).write(result(None, 1), tmp_path / 'out.mp4')
    assert not list(tmp_path.iterdir())


def test_timeline_picture_with_and_without_frames(tmp_path, make_video):
    path = make_video(tmp_path / 'v.mp4', 20, times=np.linspace(0, 30, 20))
    for source, name in ((path, 'with.png'), (None, 'without.png')):
        TimelineWriter(Selection()).write(result(source, 30), tmp_path / name)
    frames, plain = (cv2.imread(str(p)) for p in sorted(tmp_path.glob('*.png')))
    assert len(frames) > len(plain) + 60


def test_what_browsers_play(tmp_path, make_video):
    assert is_playable(Path(make_video(tmp_path / 'a.mp4', 3)))
    odd = make_video(tmp_path / 'b.mp4', 3, size=(37, 23))  # 4:4:4
    old = make_video(tmp_path / 'c.avi', 3, codec='mpeg4')
    box = make_video(tmp_path / 'd.mkv', 3)
    large = make_video(tmp_path / 'e.avi', 2, codec='mpeg4', size=(800, 600))
    for source in (odd, old, box, large):
        assert not is_playable(Path(source))
        preview = Path(source).with_suffix('.preview.mp4')
        write_preview(source, preview)
        assert is_playable(preview)
    assert VideoReader(preview).at(0).shape == (480, 640, 3)
