from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest

from mmtal_mts.apis.annotated_video import (
    is_playable,
    write_annotated_video,
    write_preview,
)
from mmtal_mts.apis.writers import Selection, VideoResult
from mmtal_mts.datasets.video import VideoReader
from mmtal_mts.structures import Segments
from mmtal_mts.utils import UserError


@pytest.fixture
def annotate(tmp_path):
    """Writes the annotated video of a file of some seconds."""

    def run(path, duration, segments=((0.5, 1.0),), name='jump'):
        scores = np.linspace(0.9, 0.5, len(segments))
        found = Segments(segments, np.zeros(len(segments)), scores)
        shown = VideoResult('v', duration, found, classes=(name,), path=path)
        write_annotated_video(shown, tmp_path / 'out.mp4', Selection())
        return tmp_path / 'out.mp4'

    return run


def times_and_sound(path):
    """Times of the frames; codec and length of each sound."""
    reader = VideoReader(path)
    frames = [reader.times.start_s(index) for index, _ in reader.frames()]
    with av.open(str(path)) as container:
        sounds = {s.codec_context.name: s for s in container.streams.audio}
        return frames, {k: float(s.duration * s.time_base) for k, s in sounds.items()}


def test_annotated_video_keeps_times_and_sound(tmp_path, make_video, annotate):
    out = annotate(make_video(tmp_path / 'v.mp4', 30, 20, with_sound=True), 1.5)
    times = pytest.approx(np.arange(30) / 20, abs=1e-4)
    assert times_and_sound(out) == (times, dict(aac=pytest.approx(1.5, abs=0.15)))
    # The decoder of mp3 has another name than the codec.
    path = make_video(tmp_path / 'v.avi', 30, 20, codec='mpeg4', with_sound=True)
    assert [*times_and_sound(annotate(path, 1.5))[1]] == ['mp3float']
    times = [0.0, 0.2, 0.25, 1.9, 4.0]
    path = make_video(tmp_path / 'w.mkv', 5, times=times)
    assert times_and_sound(annotate(path, 4.1)) == (pytest.approx(times, abs=1e-3), {})
    # Sound that begins before the pictures.
    path = make_video(tmp_path / 'x.mp4', 20, 10, with_sound=True, delay=1.0)
    out = annotate(path, 2.0)
    times = pytest.approx(np.arange(20) / 10, abs=1e-4)
    assert times_and_sound(out) == (times, dict(aac=pytest.approx(2, abs=0.15)))
    assert VideoReader(out).first_frame_s == pytest.approx(0, abs=0.1)


def test_annotated_video_shows_what_happens(tmp_path, make_video, annotate):
    path = make_video(tmp_path / 'v.mp4', 40, 20, size=(48, 32))
    before, during = map(VideoReader(annotate(path, 2.0)).at, (0.25, 0.75))
    # Enlarged, and with a panel below.
    assert before.shape == during.shape and before.shape[1] == 480
    assert before.shape[0] > 320
    plain_before, plain = map(VideoReader(path).at, (0.25, 0.75))
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
def test_any_label_and_number_of_detections(
    segments, name, tmp_path, make_video, annotate
):
    path = make_video(tmp_path / 'v.mp4', 4, 10, size=(37, 23))
    assert len(times_and_sound(annotate(path, 0.4, segments, name))[0]) == 4


def test_annotated_video_needs_a_file(tmp_path, annotate):
    with pytest.raises(UserError, match='needs a video file'):
        annotate(None, 1)
    assert not list(tmp_path.iterdir())


def test_what_browsers_do_not_play_is_converted(tmp_path, make_video):
    assert is_playable(Path(make_video(tmp_path / 'a.mp4', 3)))
    preview = tmp_path / 'v.preview.mp4'
    for name, options in (
        ('4:4:4.mp4', dict(size=(37, 23))),
        ('old.avi', dict(codec='mpeg4')),
        ('box.mkv', dict()),
        ('large.avi', dict(codec='mpeg4', size=(800, 600))),
    ):
        source = make_video(tmp_path / name, 3, **options)
        assert not is_playable(Path(source))
        write_preview(source, preview)
        assert is_playable(preview)
    assert VideoReader(preview).at(0).shape == (480, 640, 3)
