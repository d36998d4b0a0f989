"""Segments in memory and as a file."""

from __future__ import annotations

import json
import pickle

import numpy as np
import pytest

from mmtal_mts.evaluation import dump_detections, load_detections
from mmtal_mts.evaluation.functional.detections import dump_windows, load_windows
from mmtal_mts.evaluation.functional.post_processing import VideoWindows
from mmtal_mts.structures import Segments

CLASSES = ('run', 'jump')


def test_a_written_file_reads_back_unrounded(tmp_path):
    path = tmp_path / 'new' / 'detections.json'
    third = Segments([[0.1 + 0.2, 1 / 3 + 1]], [1], [1 / 3])
    dump_detections(
        path, {'v_1': third, 'empty': Segments.empty(with_scores=True)}, CLASSES
    )
    content = json.loads(path.read_text())
    assert set(content) == {'version', 'results', 'external_data'}
    assert content['results']['v_1'] == [
        {'label': 'jump', 'score': 1 / 3, 'segment': [0.1 + 0.2, 1 / 3 + 1]}
    ]
    read = load_detections(path, CLASSES)
    assert list(read) == ['v_1', 'empty'] and len(read['empty']) == 0
    np.testing.assert_array_equal(read['v_1'].segments, third.segments)
    assert read['v_1'].labels.tolist() == [1]
    assert load_detections(path, ['run'])['v_1'].labels.tolist() == [-1]
    assert [p.name for p in path.parent.iterdir()] == ['detections.json']


def test_a_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / 'detections.json'
    path.write_text('old')
    with pytest.raises(IndexError):
        dump_detections(path, {'v': Segments([[0, 1]], [7], [1])}, CLASSES)
    with pytest.raises(TypeError):
        dump_detections(path, {'v': Segments([[0, 1]], [0], [1])}, [object()])
    assert path.read_text() == 'old'
    assert [p.name for p in tmp_path.iterdir()] == ['detections.json']


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('{', 'not valid JSON'),
        ('[]', 'results'),
        ('{"results": {"v": {}}}', 'video v'),
        (
            '{"results": {"v": [{"label": "run", "score": 1}]}}',
            'detection 0 of video v',
        ),
        (
            '{"results": {"v": [{"label": "run", "score": 1, "segment": [0]}]}}',
            'segment',
        ),
        ('{"results": {"v": [{"label": [], "score": 1, "segment": [0, 1]}]}}', 'label'),
    ],
)
def test_a_bad_file_is_named(tmp_path, text, message):
    path = tmp_path / 'bad.json'
    path.write_text(text)
    with pytest.raises(ValueError, match=message) as error:
        load_detections(path, CLASSES)
    assert 'bad.json' in str(error.value)
    with pytest.raises(ValueError, match='none.json'):
        load_detections(tmp_path / 'none.json', CLASSES)


@pytest.fixture
def windows():
    return {
        'v': VideoWindows(
            30.0,
            [
                Segments([[0, 10], [0, 5]], [0, 1], [0.9, 0.6]),
                Segments([[0, 9.5], [20, 33]], [0, 0], [0.8, 0.7]),
            ],
        ),
        'empty': VideoWindows(None, [Segments.empty(with_scores=True)]),
        'last': VideoWindows(5.0, [Segments([[1, 2]], [1], [0.5])]),
    }


def test_written_windows_are_read(windows, tmp_path):
    dump_windows(tmp_path / 'w.npz', windows, CLASSES)
    videos, classes = load_windows(tmp_path / 'w.npz')
    assert classes == CLASSES
    assert list(videos) == ['v', 'empty', 'last']
    assert [video.duration_s for video in videos.values()] == [30.0, None, 5.0]
    for found, expected in zip(videos.values(), windows.values(), strict=True):
        (joined,), expected = found.windows, Segments.concatenate(expected.windows)
        for name, value in vars(expected).items():
            np.testing.assert_array_equal(getattr(joined, name), value)
    dump_windows(tmp_path / 'none.npz', {}, CLASSES)
    assert load_windows(tmp_path / 'none.npz') == ({}, CLASSES)


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
