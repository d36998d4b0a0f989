"""Raw windows in a file, and the mAP for several suppressions of them."""

from __future__ import annotations

import json
import pickle

import numpy as np
import pytest

from mmtal_mts.apis.nms_sweep import best_row, nms_settings, sweep_nms
from mmtal_mts.evaluation.functional import Detections
from mmtal_mts.evaluation.functional.windows import (
    VideoWindows,
    dump_windows,
    load_windows,
)
from mmtal_mts.utils import UserError

CLASSES = ('b', 'a')


@pytest.fixture
def files(tmp_path):
    """A video whose segment is found in both of its windows, and one without."""
    windows = {
        'v': VideoWindows(
            30.0,
            [0, 64],
            [
                Detections([[0, 10], [0, 5]], [0.9, 0.6], [0, 1]),
                Detections([[0, 9.5], [20, 33]], [0.8, 0.7], [0, 0]),
            ],
        ),
        'empty': VideoWindows(None, [0], [Detections.concatenate([])]),
    }
    path, truth = tmp_path / 'windows.npz', tmp_path / 'gt.json'
    dump_windows(path, windows, CLASSES)
    annotations = [
        {'segment': segment, 'label': 'b'} for segment in ([0, 10], [20, 30])
    ]
    database = {'v': {'duration': 30, 'annotations': annotations}}
    truth.write_text(json.dumps({'database': database}))
    return truth, path, windows


def test_what_is_written_is_read(files):
    videos, classes = load_windows(files[1])
    assert classes == CLASSES
    assert list(videos) == ['v', 'empty']
    assert videos['empty'] == VideoWindows(None)
    assert (videos['v'].duration, videos['v'].offsets) == (30.0, [0, 64])
    for found, expected in zip(videos['v'].detections, files[2]['v'].detections):
        for name in ('segments', 'scores', 'labels'):
            np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))


def test_no_windows_at_all_are_written_too(tmp_path):
    dump_windows(tmp_path / 'w.npz', {}, CLASSES)
    assert load_windows(tmp_path / 'w.npz') == ({}, CLASSES)


def test_a_pickle_is_not_loaded(tmp_path):
    path = tmp_path / 'raw.pkl'
    path.write_bytes(pickle.dumps([{'scores': 1}]))
    with pytest.raises(ValueError, match='raw.pkl: not a file of raw detections'):
        load_windows(path)
    np.savez(tmp_path / 'other.npz', scores=np.zeros(3))
    with pytest.raises(ValueError, match='test_evaluator.windows_path'):
        load_windows(tmp_path / 'other.npz')
    with pytest.raises(FileNotFoundError, match='no such file'):
        load_windows(tmp_path / 'none.npz')


def test_the_map_of_each_setting_is_the_one_computed_by_hand(files):
    settings = nms_settings(['none', 'hard', 'gaussian'], [0.5, 1e-3], [0.5, 0.96])
    assert len(settings) == 5
    rows = list(sweep_nms(*files[:2], settings, tiou_thresholds=[0.5]))
    # Found at rank 1 and, behind the double detection, 3: (1 + 2/3) / 2.
    double = (1 + 2 / 3) / 2
    by_setting = [(row.nms, row.result.average()) for row in rows]
    assert by_setting == [
        (None, double),
        ({'method': 'hard', 'iou_threshold': 0.5, 'min_score': 0.001}, 1.0),
        # The tIoU of the two is 0.95.
        ({'method': 'hard', 'iou_threshold': 0.96, 'min_score': 0.001}, double),
        # 0.8 * exp(-0.95 ** 2 / 0.5) = 0.13 stands behind 0.7.
        ({'method': 'gaussian', 'sigma': 0.5, 'min_score': 0.001}, 1.0),
        ({'method': 'gaussian', 'sigma': 0.001, 'min_score': 0.001}, 1.0),
    ]
    assert best_row(rows) is rows[1]


def test_unusable_settings_and_files_are_refused_before_anything_runs(files, tmp_path):
    with pytest.raises(UserError, match='method must be one of'):
        nms_settings(['soft'])
    with pytest.raises(UserError, match='sigma must be > 0'):
        nms_settings(['gaussian'], sigmas=[0])
    other = {'w': {'duration': 1, 'annotations': []}}
    content = {'database': other, 'classes': list(CLASSES)}
    (tmp_path / 'other.json').write_text(json.dumps(content))
    with pytest.raises(UserError, match='no video in common'):
        list(sweep_nms(tmp_path / 'other.json', files[1], [None]))
