"""Merging windows, against recorded detections of three windows."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from mmtal_mts.evaluation.functional import Detections, WindowMerger

GOLDENS = Path(__file__).parent.parent / 'data' / 'goldens'


@pytest.mark.parametrize('sigma', [0.5, 0.3])
def test_three_windows_equal_the_recorded_detections(sigma):
    # Recorded: decoded segments in sampled frames of the window and a score for
    # every class. Pairs over 0.01 are kept, at (frame + offset) / 10 seconds.
    with np.load(GOLDENS / 'f_decode_excerpt.npz') as data:
        classes, expected = data['classes'], data[f'det/rgb_sigma{sigma}']
        windows = []
        for index, offset in enumerate(data['offsets']):
            scores = data[f'decoded{index}/scores']
            label, location = np.nonzero(scores > 0.01)
            frames = data[f'decoded{index}/segments'][location]
            seconds = (frames + offset) / float(data['sample_fps'])
            windows.append(Detections(seconds, scores[label, location], label))
    # The original keeps segments without length, so nothing is clamped here.
    merger = WindowMerger(dict(sigma=sigma, max_keep=5000), clamp=False)
    merged = merger.merge(windows)
    assert len(merged) - len(expected) in range(len(classes) + 1)
    for index, number in enumerate(classes):
        ours = merged[merged.labels == index]
        theirs = expected[expected[:, 0] == number]
        # The original loses the last live segment of a class, if one was left.
        assert len(ours) - len(theirs) in (0, 1)
        ours = ours[: len(theirs)]
        ours = np.column_stack([ours.segments, ours.scores])
        order_ours, order_theirs = np.lexsort(ours.T), np.lexsort(theirs[:, 1:].T)
        np.testing.assert_allclose(
            ours[order_ours], theirs[order_theirs, 1:], rtol=0, atol=1e-5
        )


def test_segments_are_cut_to_the_video_and_empty_ones_dropped():
    windows = [
        Detections([[-1.0, 2.0], [8.0, 12.0]], [0.9, 0.8], [0, 0]),
        Detections(
            [[10.0, 11.0], [-3.0, -1.0], [4.0, 4.0]], [0.7, 0.6, 0.5], [0, 0, 0]
        ),
    ]
    merged = WindowMerger().merge(windows, duration=10.0)
    assert merged.segments.tolist() == [[0.0, 2.0], [8.0, 10.0]]
    unknown_end = WindowMerger().merge(windows)
    assert unknown_end.segments.tolist() == [[0.0, 2.0], [8.0, 12.0], [10.0, 11.0]]
    assert len(WindowMerger(clamp=False).merge(windows, duration=10.0)) == 5


def test_nms_runs_for_each_class_by_itself_and_over_all_windows():
    windows = [
        Detections([[0.0, 4.0], [0.0, 4.0]], [0.9, 0.8], [0, 1]),
        Detections([[0.0, 4.0]], [0.7], [0]),
    ]
    merged = WindowMerger(dict(sigma=0.5)).merge(windows, 10.0)
    assert merged.labels.tolist() == [0, 1, 0]
    expected = [0.9, 0.8, 0.7 * math.exp(-2)]
    np.testing.assert_allclose(merged.scores, expected, rtol=1e-12)
    hard = WindowMerger(dict(method='hard', iou_threshold=0.5)).merge(windows, 10.0)
    assert hard.scores.tolist() == [0.9, 0.8]


def test_max_per_video_keeps_the_best_over_all_classes():
    windows = [
        Detections([[i, i + 1] for i in range(5)], [3, 1, 5, 2, 4], [0, 1, 2, 0, 1])
    ]
    merged = WindowMerger(max_per_video=3).merge(windows, 10.0)
    assert merged.scores.tolist() == [5, 4, 3]


def test_the_order_of_windows_does_not_matter():
    rng = np.random.default_rng(1)
    windows = []
    for _ in range(4):
        start = rng.integers(0, 20, 30)
        end = start + rng.integers(1, 5, 30)
        score = rng.integers(1, 5, 30) / 4
        windows.append(
            Detections(np.column_stack([start, end]), score, rng.integers(0, 2, 30))
        )
    merger = WindowMerger(dict(sigma=0.5))
    first, second = merger.merge(windows, 22.0), merger.merge(windows[::-1], 22.0)
    np.testing.assert_array_equal(first.segments, second.segments)
    np.testing.assert_array_equal(first.scores, second.scores)
    np.testing.assert_array_equal(first.labels, second.labels)


def test_no_window_and_empty_windows():
    merger = WindowMerger(dict())
    assert len(merger.merge([], 10.0)) == 0
    assert len(merger.merge([Detections.concatenate([])], 10.0)) == 0


def test_unusable_settings_are_refused_at_once():
    with pytest.raises(ValueError, match='sgima'):
        WindowMerger(dict(sgima=0.5))
    with pytest.raises(ValueError, match='sigma'):
        WindowMerger(dict(sigma=-1))
    with pytest.raises(ValueError, match='max_per_video'):
        WindowMerger(max_per_video=0)
