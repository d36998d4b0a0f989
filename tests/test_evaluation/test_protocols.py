"""Ground truth of named protocols."""

from __future__ import annotations

import json
import logging

import numpy as np
import pytest

from mmtal_mts.evaluation import protocols
from mmtal_mts.evaluation.protocols import PROTOCOLS, load_ground_truth


@pytest.fixture
def logged(monkeypatch):
    found = []
    monkeypatch.setattr(
        protocols,
        'print_log',
        lambda text, logger, level: found.append((level, text)),
    )
    return found


@pytest.fixture
def ann_file(tmp_path):
    """Two videos of the official list, with a segment that ends behind its video."""
    database = {
        name: {
            'subset': 'test',
            'duration': 20.0,
            'annotations': [{'segment': [1.0, 99.0], 'label': 'run'}],
        }
        for name in ('video_test_0000270', 'video_test_0000004')
    }
    path = tmp_path / 'annotations.json'
    path.write_text(json.dumps({'database': database}))
    return str(path)


def test_videos_are_left_out_late_segments_kept_and_counts_compared(ann_file, logged):
    classes, videos = load_ground_truth(ann_file, protocol='thumos14-afsd')
    assert classes == ('run',)
    assert set(videos) == {'video_test_0000004'}
    # What ends behind its video counts as it is, as it did for the published numbers.
    (video,) = videos.values()
    np.testing.assert_array_equal(video.actions.segments, [[1.0, 99.0]])
    ((level, text),) = logged
    assert level == logging.WARNING
    assert '1 segments in 1 videos, but published numbers rest on 3311 in 210' in text
    with pytest.raises(ValueError, match='no segment'):
        load_ground_truth(ann_file, protocol='thumos14-opentad')
    with pytest.raises(ValueError, match="protocol='thumos'"):
        load_ground_truth(ann_file, protocol='thumos')


def test_a_protocol_without_counts_has_nothing_to_compare(ann_file, logged):
    load_ground_truth(ann_file, protocol='activitynet')
    assert logged == [(logging.INFO, 'protocol activitynet: 2 segments in 2 videos')]
    assert len(PROTOCOLS['activitynet'].tiou_thresholds) == 10
    assert len(PROTOCOLS['thumos14-afsd'].exclude_videos) == 3


def test_without_classes_all_labels_are_one(ann_file):
    classes, videos = load_ground_truth(
        ann_file, on_invalid='clamp', class_agnostic=True
    )
    assert classes == ('action',)
    for video in videos.values():
        assert video.actions.labels.tolist() == [0]
