"""Pictures of timelines: what is laid out, and that a PNG comes out."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import pytest

from mmtal_mts.visualization import (
    Timeline,
    clip_frames,
    draw_timeline,
    draw_timelines,
    read_frames,
    read_strip,
    render_timelines,
)
from mmtal_mts.visualization.class_row import ClassRow

CLASSES = [f'class {index}' for index in range(20)]


@dataclass
class Found:
    """Ground truth, and with scores, detections."""

    segments: np.ndarray
    labels: np.ndarray
    scores: np.ndarray | None = None


def random_video(duration, count, num_classes, seed=0):
    """Ground truth and detections of a made-up video."""
    rng = np.random.default_rng(seed)
    start = rng.uniform(0, 0.9 * duration, count)
    end = np.minimum(start + rng.uniform(0, 0.1 * duration, count), duration)
    return Found(
        np.column_stack([start, end]),
        rng.integers(0, num_classes, count),
        rng.uniform(0, 1, count),
    )


@pytest.fixture
def video_file(tmp_path):
    """Two seconds at 10 fps whose brightness grows with time."""
    path = tmp_path / 'video.avi'
    writer = cv2.VideoWriter(
        str(path), cv2.VideoWriter_fourcc(*'MJPG'), 10, (64, 48), True
    )
    for index in range(20):
        image = np.zeros((48, 64, 3), np.uint8)
        image[..., 2] = 10 + 12 * index  # red, in BGR
        writer.write(image)
    writer.release()
    return path


def image_size(path):
    """Height and width of a PNG file, and that it is one."""
    assert path.read_bytes()[:8] == b'\x89PNG\r\n\x1a\n'
    return cv2.imread(str(path)).shape[:2]


def test_frames_are_those_on_screen(video_file):
    frames = read_frames(video_file, [0.0, 0.55, 1.95, 5.0])
    assert [time for time, _ in frames] == [0.0, 0.55, 1.95]
    for (_, image), index in zip(frames, (0, 5, 19)):
        assert image.shape == (48, 64, 3) and image.dtype == np.uint8
        assert abs(int(image[24, 32, 0]) - (10 + 12 * index)) < 6
        assert image[24, 32, 2] < 6
    assert read_frames(video_file, [0.0], max_height=24)[0][1].shape == (24, 32, 3)


def test_a_strip_is_filled_evenly(video_file):
    strip = read_strip(video_file, 2.0, strip_aspect=8.0)  # frames are 4 : 3
    assert len(strip) == 6
    np.testing.assert_allclose([time for time, _ in strip], (np.arange(6) + 0.5) / 3)


def test_bad_videos_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match='none.mp4'):
        read_frames(tmp_path / 'none.mp4', [0.0])
    broken = tmp_path / 'broken.mp4'
    broken.write_bytes(b'not a video')
    with pytest.raises(ValueError, match='broken.mp4'):
        read_frames(broken, [0.0])


def test_a_page_of_videos(tmp_path, video_file):
    timelines = []
    for index in range(3):
        video = random_video(60.0, 30, 4, index)
        timelines.append(
            Timeline(f'v_{index}', 60.0, video, video, read_strip(video_file, 2.0))
        )
    path = tmp_path / 'new' / 'page.png'
    draw_timelines(path, timelines, CLASSES, title='A $title_ with % signs')
    height, width = image_size(path)
    assert width == 1600 and height > 900
    assert [p.name for p in path.parent.iterdir()] == ['page.png']


def test_twenty_classes_and_hundreds_of_segments(tmp_path):
    video = random_video(1500.0, 500, 20)
    path = tmp_path / 'large.png'
    draw_timeline(path, Timeline('v', 1500.0, video, video), CLASSES, 0.0)
    assert image_size(path)[0] > 1000


def test_nothing_found_and_no_ground_truth(tmp_path):
    path = tmp_path / 'empty.png'
    none = Found(np.zeros((0, 2)), np.zeros(0, int), np.zeros(0))
    draw_timeline(path, Timeline('$x_1', 9.0, none, none), CLASSES)
    assert image_size(path)[1] == 1600
    # Unknown labels and low scores are left out, one frame is enough for a strip.
    found = Found(np.array([[0.0, 1.0], [3.0, 3.0]]), np.array([-1, 2]), np.ones(2))
    frame = np.zeros((4, 6, 3), np.uint8)
    draw_timeline(path, Timeline('v', 9.0, found, frames=[(1.0, frame)]), CLASSES)
    with pytest.raises(ValueError, match='no video'):
        draw_timelines(path, [], CLASSES)
    with pytest.raises(ValueError, match='video v: duration'):
        draw_timeline(path, Timeline('v', 0.0, found), CLASSES)


def test_a_row_packs_lanes_without_overlap_and_marks_matches():
    segments = np.array([[0.0, 4.0], [1.0, 3.0], [4.5, 6.0], [2.0, 8.0]])
    row = ClassRow(
        0,
        'run',
        np.array([[0.0, 5.0]]),
        segments,
        np.array([0.9, 0.8, 0.7, 0.6]),
        gap=0.1,
    )
    assert row.lanes.tolist() == [0, 1, 0, 2]
    assert row.matched.tolist() == [True, False, False, False]
    assert row.name == 'run'
    crowd = np.tile([[0.0, 1.0]], (14, 1))
    row = ClassRow(0, 'run', None, crowd, np.ones(14), gap=0.1)
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
    found = Found(np.array([[10.0, 20], [30, 40]]), np.zeros(2, int), np.ones(2))
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
    draw_timeline(tmp_path / 'a.png', timeline, CLASSES)
    np.testing.assert_array_equal(
        cv2.imread(str(tmp_path / 'a.png'))[..., ::-1], refined
    )
