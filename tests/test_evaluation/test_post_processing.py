"""Detections: merging windows, against recorded ones, and files of them."""

from __future__ import annotations

import json
import math
import pickle
from pathlib import Path

import numpy as np
import pytest

from mmtal_mts.evaluation import dump_detections, load_detections, merge_windows
from mmtal_mts.evaluation.functional.detections import dump_windows, load_windows
from mmtal_mts.evaluation.functional.post_processing import check_test_cfg
from mmtal_mts.structures import Segments

GOLDENS = Path(__file__).parent.parent / 'data' / 'goldens'


def assert_equal(found, expected):
    for name, value in vars(expected).items():
        np.testing.assert_array_equal(getattr(found, name), value)


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
            windows.append(Segments(seconds, label, scores[label, location]))
    # The original keeps segments without length, so nothing is clamped here.
    test_cfg = dict(nms=dict(sigma=sigma, max_keep=5000), clamp=False)
    merged = merge_windows(windows, None, test_cfg)
    assert len(merged) - len(expected) in range(len(classes) + 1)
    for index, number in enumerate(classes):
        theirs = expected[expected[:, 0] == number, 1:]
        found = merged[merged.labels == index]
        # The original loses the last live segment of a class, if one was left.
        assert len(found) - len(theirs) in (0, 1)
        ours = np.column_stack([found.segments, found.scores])[: len(theirs)]
        ours, theirs = (rows[np.lexsort(rows.T)] for rows in (ours, theirs))
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-5)


WINDOWS = [
    Segments([[8.0, 12.0], [-1.0, 2.0]], [1, 0], [0.8, 0.9]),
    Segments([[10.0, 11.0], [-3.0, -1.0], [4.0, 4.0]], [2, 0, 1], [0.7, 0.6, 0.5]),
]


@pytest.mark.parametrize(
    ('duration_s', 'test_cfg', 'scores', 'ends'),
    [
        (10.0, {}, [0.9, 0.8], [2.0, 10.0]),
        (None, {}, [0.9, 0.8, 0.7], [2.0, 12.0, 11.0]),
        (10.0, dict(clamp=False), [0.9, 0.8, 0.7, 0.6, 0.5], [2.0, 12.0, 11.0, -1, 4]),
        # The best over all classes.
        (None, dict(max_per_video=2), [0.9, 0.8], [2.0, 12.0]),
        (None, dict(max_per_video=2, nms={}), [0.9, 0.8], [2.0, 12.0]),
    ],
)
def test_segments_are_cut_and_empty_ones_dropped(duration_s, test_cfg, scores, ends):
    merged = merge_windows(WINDOWS, duration_s, test_cfg)
    assert merged.scores.tolist() == scores
    assert merged.segments[:, 1].tolist() == ends
    assert merged.segments[0, 0] == (-1.0 if test_cfg.get('clamp') is False else 0.0)


def test_nms_runs_for_each_class_by_itself_and_over_all_windows():
    # One label is that of detections of unknown classes.
    windows = [
        Segments([[0.0, 4.0], [0.0, 4.0]], [0, -1], [0.9, 0.8]),
        Segments([[0.0, 4.0]], [0], [0.7]),
    ]
    merged = merge_windows(windows, 10.0, dict(nms=dict(sigma=0.5)))
    assert merged.labels.tolist() == [0, -1, 0]
    expected = [0.9, 0.8, 0.7 * math.exp(-2)]
    np.testing.assert_allclose(merged.scores, expected, rtol=1e-12)
    nms = dict(method='hard', iou_threshold=0.5)
    assert merge_windows(windows, 10.0, dict(nms=nms)).scores.tolist() == [0.9, 0.8]


def test_the_order_of_windows_does_not_matter_and_none_is_needed():
    rng, test_cfg = np.random.default_rng(1), dict(nms=dict(sigma=0.5))
    windows = []
    for _ in range(4):
        start, length = rng.integers(0, 20, 30), rng.integers(1, 5, 30)
        scores, labels = rng.integers(1, 5, 30) / 4, rng.integers(0, 2, 30)
        windows.append(Segments(np.stack([start, start + length], 1), labels, scores))
    first = merge_windows(windows, 22.0, test_cfg)
    assert_equal(first, merge_windows(windows[::-1], 22.0, test_cfg))
    for windows in ([], [Segments.empty(with_scores=True)]):
        assert len(merge_windows(windows, 10.0, test_cfg)) == 0


@pytest.mark.parametrize(
    ('test_cfg', 'message'),
    [
        (dict(nms=dict(sgima=0.5)), 'model.test_cfg.nms=.*sgima'),
        (dict(nms=dict(sigma=-1)), 'model.test_cfg.nms=.*sigma must be'),
        (dict(max_per_video=0), 'model.test_cfg.max_per_video=0 must be'),
        (dict(max_per_clip=3), "unknown setting.*'max_per_clip'.*max_per_video"),
    ],
)
def test_unusable_settings_are_named(test_cfg, message):
    for refuse in (check_test_cfg, lambda cfg: merge_windows([], None, cfg)):
        with pytest.raises(ValueError, match=message):
            refuse(test_cfg)


CLASSES = ('run', 'jump')


def test_a_written_file_reads_back_unrounded(tmp_path):
    path = tmp_path / 'new' / 'detections.json'
    segment = [0.1 + 0.2, 1 / 3 + 1]
    third, nothing = Segments([segment], [1], [1 / 3]), Segments.empty(with_scores=True)
    dump_detections(path, {'v_1': third, 'empty': nothing}, CLASSES)
    content = json.loads(path.read_text())
    assert set(content) == {'version', 'results', 'external_data'}
    expected = {'label': 'jump', 'score': 1 / 3, 'segment': segment}
    assert content['results']['v_1'] == [expected]
    read = load_detections(path, CLASSES)
    assert list(read) == ['v_1', 'empty'] and len(read['empty']) == 0
    assert_equal(read['v_1'], third)
    assert load_detections(path, ['run'])['v_1'].labels.tolist() == [-1]
    assert [p.name for p in path.parent.iterdir()] == ['detections.json']


def test_a_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / 'detections.json'
    path.write_text('old')
    for label, classes, error in ((7, CLASSES, IndexError), (0, [object()], TypeError)):
        with pytest.raises(error):
            dump_detections(path, {'v': Segments([[0, 1]], [label], [1])}, classes)
    assert path.read_text() == 'old'
    assert [p.name for p in tmp_path.iterdir()] == ['detections.json']


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('{', 'not valid JSON'),
        ('[]', 'results'),
        ('{"results": {"v": {}}}', 'video v'),
        ('{"results": {"v": [{"label": "run", "score": 1}]}}', '0 of video v'),
        ('{"results": {"v": [{"label": "a", "score": 1, "segment": [0]}]}}', 'segment'),
        ('{"results": {"v": [{"label": [], "score": 1, "segment": [0, 1]}]}}', 'label'),
        (None, 'cannot be read'),
    ],
)
def test_a_bad_file_is_named(tmp_path, text, message):
    path = tmp_path / 'bad.json'
    if text is not None:
        path.write_text(text)
    with pytest.raises(ValueError, match=f'bad.json.*{message}'):
        load_detections(path, CLASSES)


def test_written_windows_are_read(tmp_path):
    segments = [[0, 10], [0, 5], [0, 9.5], [20, 33]]
    windows = {
        'v': Segments(segments, [0, 1, 0, 0], [0.9, 0.6, 0.8, 0.7]),
        'empty': Segments.empty(with_scores=True),
        'last': Segments([[1, 2]], [1], [0.5]),
    }
    lengths = {'v': 30.0, 'empty': None, 'last': 5.0}
    dump_windows(tmp_path / 'w.npz', windows, lengths, CLASSES)
    videos, durations, classes = load_windows(tmp_path / 'w.npz')
    assert classes == CLASSES and durations == lengths
    assert list(videos) == list(durations) == ['v', 'empty', 'last']
    for name, expected in windows.items():
        assert_equal(videos[name], expected)
    dump_windows(tmp_path / 'none.npz', {}, {}, CLASSES)
    assert load_windows(tmp_path / 'none.npz') == ({}, {}, CLASSES)


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
