"""The frames above a timeline."""

from __future__ import annotations

import numpy as np
import pytest

from mmtal_mts.apis.video_strip import read_strip
from mmtal_mts.datasets.transforms import VideoReadError

# Frame 0 stays for a second, the other nine for 0.1 s each.
TIMES = [0.0, *(1.0 + 0.1 * k for k in range(9))]


def test_a_strip_is_filled_evenly(make_video, tmp_path):
    path = make_video(tmp_path / 'v.mp4', 20, 10, size=(64, 48))
    strip = read_strip(path, 2.0, strip_aspect=8.0)  # frames are 4 : 3
    np.testing.assert_allclose([time for time, _ in strip], (np.arange(6) + 0.5) / 3)
    assert {image.shape for _, image in strip} == {(48, 64, 3)}


def test_a_varying_frame_rate_shows_what_is_on_screen(make_video, number_of, tmp_path):
    path = make_video(tmp_path / 'v.mp4', 10, times=TIMES, size=(64, 48))
    strip = read_strip(path, 1.9, strip_aspect=8.0)
    expected = [np.searchsorted(TIMES, time, 'right') - 1 for time, _ in strip]
    assert [number_of(image) for _, image in strip] == expected
    assert expected[:3] == [0, 0, 0] and expected[-1] > 5


@pytest.mark.parametrize('content', [None, b'not a video'])
def test_bad_videos_are_named(content, tmp_path):
    path = tmp_path / 'broken.mp4'
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(VideoReadError, match=r'broken\.mp4'):
        read_strip(path, 2.0)
