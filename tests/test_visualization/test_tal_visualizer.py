"""Pictures of timelines: what is laid out, and that a PNG comes out."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from tiny_models import clip_sample

from mmtal_mts.apis.writers import _read_strip, read_pictures
from mmtal_mts.structures import Segments
from mmtal_mts.visualization import (
    TALVisualizer,
    Timeline,
    clip_frames,
    render_timelines,
    write_picture,
)
from mmtal_mts.visualization.timeline import _draw_row

CLASSES = [f'class {index}' for index in range(20)]


def random_actions(duration, count, num_classes, seed=0):
    rng = np.random.default_rng(seed)
    start = rng.uniform(0, 0.9 * duration, count)
    end = np.minimum(start + rng.uniform(0, 0.1 * duration, count), duration)
    labels, scores = rng.integers(0, num_classes, count), rng.uniform(0, 1, count)
    return Segments(np.column_stack([start, end]), labels, scores)


def test_a_page_of_videos_is_a_png_file(tmp_path):
    frames = [(20.0 * k, np.full((48, 64, 3), 80 * k, np.uint8)) for k in range(3)]
    actions = (random_actions(60.0, 30, 4, seed) for seed in range(3))
    timelines = [Timeline('v', 60.0, found, found, frames) for found in actions]
    picture = render_timelines(timelines, CLASSES, title='A $title_ with % signs')
    assert picture.dtype == np.uint8
    assert picture.shape[1:] == (1600, 3) and len(picture) > 900
    path = tmp_path / 'new' / 'page.png'
    write_picture(path, picture)
    assert [p.name for p in path.parent.iterdir()] == ['page.png']
    assert path.read_bytes()[:8] == b'\x89PNG\r\n\x1a\n'
    np.testing.assert_array_equal(cv2.imread(str(path))[..., ::-1], picture)
    # Twenty classes and hundreds of segments.
    many = random_actions(1500.0, 500, 20)
    assert len(render_timelines([Timeline('v', 1500.0, many, many)], CLASSES, 0)) > 1000


def test_nothing_found_and_no_ground_truth():
    none = Segments.empty(with_scores=True)
    assert render_timelines([Timeline('$x_1', 9.0, none, none)], CLASSES).any()
    # Unknown labels and low scores are left out, one frame is enough for a strip.
    found = Segments([[0.0, 1.0], [3.0, 3.0]], [-1, 2], [1.0, 1.0])
    one = Timeline('v', 9.0, found, frames=[(1.0, np.zeros((4, 6, 3), np.uint8))])
    assert render_timelines([one], CLASSES).any()
    with pytest.raises(ValueError, match='no video'):
        render_timelines([], CLASSES)
    with pytest.raises(ValueError, match='video v: duration'):
        render_timelines([Timeline('v', 0.0, found)], CLASSES)


def drawn(found, truth=None):
    """Draws one class: bars of the axes, and texts."""
    axes, row = Figure().add_axes((0, 0, 1, 1)), Timeline('run', 50.0, found, truth)
    _draw_row(axes, row, '#0072B2', 0.0, 0.1)
    return axes.patches, [text.get_text() for text in axes.texts]


def test_a_row_packs_lanes_without_overlap_and_marks_matches():
    segments = [[0.0, 4.0], [1.0, 3.0], [4.5, 6.0], [2.0, 8.0]]
    found = Segments(segments, np.zeros(4), [0.9, 0.8, 0.7, 0.6])
    bars, texts = drawn(found, Segments([[0.0, 5.0]], [0]))
    places = [[bar.get_x(), bar.get_x() + bar.get_width()] for bar in bars]
    np.testing.assert_allclose(places, [[0, 5], *segments])
    tops = np.array([bar.get_y() for bar in bars[1:]])
    lanes = (tops - tops[0]) / (tops[1] - tops[0])
    np.testing.assert_allclose(lanes, [0, 1, 0, 2], atol=1e-6)
    assert [bool(bar.get_hatch()) for bar in bars] == [False, False, True, True, True]
    assert texts == ['0.90', '0.80', '0.70', '0.60', 'run']
    # A crowd shares the height of a few lanes, and some are left out.
    crowd = Segments(np.tile([[0.0, 1.0]], (14, 1)), np.zeros(14), np.ones(14))
    bars, texts = drawn(crowd)
    assert len(bars) == 10 and texts == ['run\n+ 4 not drawn']


def test_coarse_segments_are_drawn_below_and_ground_truth_alone_too():
    truth = random_actions(60, 5, 3)
    found = Segments([[10.0, 20], [30, 40]], [0, 0], [1.0, 1.0])
    coarse = np.array([[12.0, 18], [30, 50]])
    rows = (found, truth), (found, truth, (), coarse), (None, truth)
    plain, refined, only = (
        render_timelines([Timeline('v', 60.0, *row)], CLASSES) for row in rows
    )
    # The line between 40 s and 50 s is dark where nothing was before.
    dark = (refined[100:] < 60).all(axis=2).sum(axis=1)
    assert dark.max() > 200
    assert only.shape[0] < plain.shape[0]


def test_frames_of_a_clip_are_spread_over_it():
    number = np.arange(40, dtype=np.uint8)[:, None, None]
    clip = np.broadcast_to(number, (3, 40, 10, 40))
    frames = clip_frames(clip, sample_fps=10.0)
    assert [time for time, _ in frames] == [0.5, 1.5, 2.5, 3.5]
    assert [int(image[0, 0, 0]) for _, image in frames] == [5, 15, 25, 35]
    assert frames[0][1].shape == (10, 40, 3)
    # No more than there are; flow gets a third channel.
    flow = clip_frames(clip[:2, :3], sample_fps=10.0)
    assert len(flow) == 3
    assert flow[2][1][0, 0].tolist() == [2, 2, 127]
    # A padded window, which holds other numbers.
    padded = clip_frames(np.full((3, 4, 10, 40), 127.5, np.float32), sample_fps=10.0)
    assert padded[0][1].dtype == np.uint8 and (padded[0][1] == 127).all()


def test_a_strip_shows_what_is_on_screen_at_even_times(make_video, number_of, tmp_path):
    # Frame 0 stays for a second, the other nine for 0.1 s each.
    stamps = [0.0, *(1.0 + 0.1 * k for k in range(9))]
    path = make_video(tmp_path / 'v.mp4', 10, times=stamps, size=(128, 48))
    times, pictures = zip(*_read_strip(path, 1.9), strict=True)
    np.testing.assert_allclose(times, (np.arange(6) + 0.5) * 1.9 / 6)
    assert {picture.shape for picture in pictures} == {(48, 128, 3)}
    # Large frames are scaled down, small ones are not enlarged.
    for height, shape in ((24, (24, 64, 3)), (100, (48, 128, 3))):
        assert read_pictures(path, [0.1], height)[0.1].shape == shape
    expected = [np.searchsorted(stamps, time, 'right') - 1 for time in times]
    assert [number_of(picture) for picture in pictures] == expected
    assert expected[:3] == [0, 0, 0] and expected[-1] > 5


def test_the_visualizer_draws_what_is_asked_for(monkeypatch):
    pictures, shown = [], []
    visualizer = TALVisualizer()
    visualizer.dataset_meta = dict(classes=CLASSES)
    monkeypatch.setattr(visualizer, 'add_image', lambda *args: pictures.append(args[1]))
    monkeypatch.setattr(visualizer, 'show', lambda *args, **kwargs: shown.append(args))
    sample = clip_sample([[0.0, 10.0]], [3], offset=10)
    sample.pred_instances = sample.gt_instances.clone()
    sample.pred_instances.scores = torch.ones(1)
    clip = np.zeros((3, 40, 8, 8), np.uint8)
    truth, found = Segments([[0.0, 1.0]], [3]), Segments([[-1.0, 9.0]], [3], [1.0])
    for draw, row in (
        ((True, True), (found, truth)),
        ((False, True), (found,)),
        ((True, False), (None, truth)),
    ):
        visualizer.add_datasample('v', clip, sample, *draw, show=True)
        timeline = Timeline('v, from 1.0 s', 4.0, *row)
        timeline = replace(timeline, frames=clip_frames(clip, 10.0))
        expected = render_timelines([timeline], CLASSES)
        np.testing.assert_array_equal(pictures[-1], expected)
    assert len(shown) == len(pictures) == 3
