"""Detections in memory and as a file."""

from __future__ import annotations

import json

import numpy as np
import pytest

from mmtal_mts.evaluation.functional import (
    Detections,
    dump_detections,
    load_detections,
)

CLASSES = ('run', 'jump')


def test_a_written_file_reads_back_unrounded(tmp_path):
    path = tmp_path / 'new' / 'detections.json'
    third = Detections([[0.1 + 0.2, 1 / 3 + 1]], [1 / 3], [1])
    dump_detections(path, {'v_1': third, 'empty': Detections.concatenate([])}, CLASSES)
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
        dump_detections(path, {'v': Detections([[0, 1]], [1], [7])}, CLASSES)
    with pytest.raises(TypeError):
        dump_detections(path, {'v': Detections([[0, 1]], [1], [0])}, [object()])
    assert path.read_text() == 'old'
    assert [p.name for p in tmp_path.iterdir()] == ['detections.json']


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('{', 'not a JSON file'),
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


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match='none.json'):
        load_detections(tmp_path / 'none.json', CLASSES)


def test_lengths_must_fit():
    with pytest.raises(ValueError, match='2 scores'):
        Detections([[0, 1]], [1, 2], [0])
