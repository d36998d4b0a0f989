"""Pictures of timelines: what is laid out, and that a PNG comes out."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from mmtal_mts.structures import Segments
from mmtal_mts.visualization import (
    Timeline,
    clip_frames,
    draw_timelines,
    read_strip,
    render_timelines,
    shrink_image,
)
from mmtal_mts.visualization.timeline import _ClassRow

CLASSES = [f'class {index}' for index in range(20)]


def random_video(duration, count, num_classes, seed=0):
    """Ground truth and detections of a made-up video."""
    rng = np.random.default_rng(seed)
    start = rng.uniform(0, 0.9 * duration, count)
    end = np.minimum(start + rng.uniform(0, 0.1 * duration, count), duration)
    labels, scores = rng.integers(0, num_classes, count), rng.uniform(0, 1, count)
    return Segments(np.column_stack([start, end]), labels, scores)


def image_size(path):
    """Height and width of a PNG file, and that it is one."""
    assert path.read_bytes()[:8] == b'\x89PNG\r\n\x1a\n'
    return cv2.imread(str(path)).shape[:2]


def test_large_frames_are_scaled_down():
    assert shrink_image(np.zeros((48, 64, 3), np.uint8), 24).shape == (24, 32, 3)
    small = np.zeros((20, 64, 3), np.uint8)
    assert shrink_image(small, 24) is small


def test_a_page_of_videos(tmp_path):
    timelines = []
    frames = [(20.0 * k, np.full((48, 64, 3), 80 * k, np.uint8)) for k in range(3)]
    for index in range(3):
        video = random_video(60.0, 30, 4, index)
        timelines.append(Timeline(f'v_{index}', 60.0, video, video, frames))
    path = tmp_path / 'new' / 'page.png'
    draw_timelines(path, timelines, CLASSES, title='A $title_ with % signs')
    height, width = image_size(path)
    assert width == 1600 and height > 900
    assert [p.name for p in path.parent.iterdir()] == ['page.png']


def test_twenty_classes_and_hundreds_of_segments(tmp_path):
    video = random_video(1500.0, 500, 20)
    path = tmp_path / 'large.png'
    draw_timelines(path, [Timeline('v', 1500.0, video, video)], CLASSES, 0.0)
    assert image_size(path)[0] > 1000


def test_nothing_found_and_no_ground_truth(tmp_path):
    path = tmp_path / 'empty.png'
    none = Segments.empty(with_scores=True)
    draw_timelines(path, [Timeline('$x_1', 9.0, none, none)], CLASSES)
    assert image_size(path)[1] == 1600
    # Unknown labels and low scores are left out, one frame is enough for a strip.
    found = Segments(np.array([[0.0, 1.0], [3.0, 3.0]]), np.array([-1, 2]), np.ones(2))
    frame = np.zeros((4, 6, 3), np.uint8)
    draw_timelines(path, [Timeline('v', 9.0, found, frames=[(1.0, frame)])], CLASSES)
    with pytest.raises(ValueError, match='no video'):
        draw_timelines(path, [], CLASSES)
    with pytest.raises(ValueError, match='video v: duration'):
        draw_timelines(path, [Timeline('v', 0.0, found)], CLASSES)


def test_a_row_packs_lanes_without_overlap_and_marks_matches():
    segments = np.array([[0.0, 4.0], [1.0, 3.0], [4.5, 6.0], [2.0, 8.0]])
    row = _ClassRow(
        0,
        'run',
        np.array([[0.0, 5.0]]),
        Segments(segments, np.zeros(4), [0.9, 0.8, 0.7, 0.6]),
        gap=0.1,
    )
    assert row.lanes.tolist() == [0, 1, 0, 2]
    assert row.matched.tolist() == [True, False, False, False]
    assert row.name == 'run'
    crowd = np.tile([[0.0, 1.0]], (14, 1))
    crowd = Segments(crowd, np.zeros(14), np.ones(14))
    row = _ClassRow(0, 'run', None, crowd, gap=0.1)
    assert row.num_lanes == 10 and row.name == 'run\n+ 4 not drawn'


def test_frames_of_a_clip_are_spread_over_it():
    number = np.arange(40, dtype=np.uint8)[:, None, None]
    clip = np.broadcast_to(number, (3, 40, 10, 10))
    frames = clip_frames(clip, sample_fps=10.0, strip_aspect=4.0)
    assert [time for time, _ in frames] == [0.5, 1.5, 2.5, 3.5]
    assert [int(image[0, 0, 0]) for _, image in frames] == [5, 15, 25, 35]
    assert frames[0][1].shape == (10, 10, 3)
    # No more than there are; flow gets a third channel.
    flow = clip_frames(clip[:2, :3], sample_fps=10.0, strip_aspect=16.0)
    assert len(flow) == 3
    assert flow[2][1][0, 0].tolist() == [2, 2, 127]


def test_coarse_segments_are_drawn_below_and_ground_truth_alone_too(tmp_path):
    truth = random_video(60, 5, 3)
    found = Segments(np.array([[10.0, 20], [30, 40]]), np.zeros(2, int), np.ones(2))
    plain = render_timelines([Timeline('v', 60.0, found, truth)], CLASSES)
    coarse = np.array([[12.0, 18], [30, 50]])
    timeline = Timeline('v', 60.0, found, truth, coarse=coarse)
    refined = render_timelines([timeline], CLASSES)
    assert refined.dtype == np.uint8
    assert refined.shape[1] == plain.shape[1] == 1600
    # The line between 40 s and 50 s is dark where nothing was before.
    dark = (refined[100:] < 60).all(axis=2).sum(axis=1)
    assert dark.max() > 200
    only = render_timelines([Timeline('v', 60.0, None, truth)], CLASSES)
    assert only.shape[0] < plain.shape[0]
    draw_timelines(tmp_path / 'a.png', [timeline], CLASSES)
    np.testing.assert_array_equal(
        cv2.imread(str(tmp_path / 'a.png'))[..., ::-1], refined
    )


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
