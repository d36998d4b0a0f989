import json

import numpy as np
import pytest

from mmtal_mts.datasets.transforms import LoadVideoScores

CLASSES = ('run', 'jump', 'swim')


def write(path, content):
    file = path / 'scores.json'
    file.write_text(content if isinstance(content, str) else json.dumps(content))
    return str(file)


def scores_of(path, content, video_id='a', **kwargs):
    transform = LoadVideoScores(write(path, content), **kwargs)
    results = transform(dict(video_id=video_id, video_classes=CLASSES))
    found = results['video_scores']
    assert found['labels'].dtype == np.int64 and found['scores'].dtype == np.float32
    return list(zip(found['labels'].tolist(), found['scores'].tolist(), strict=False))


LISTS = {'class': ['swim', 'run', 'jump'], 'results': {'a': [0.25, 0.125, 0.5]}}
NAMES = {'a': {'run': 0.25, 'swim': 0.5}}


@pytest.mark.parametrize(
    ('content', 'video_id', 'top_k', 'expected'),
    [
        (LISTS, 'a', 1, [(1, 0.5)]),
        (LISTS, 'a', 2, [(1, 0.5), (2, 0.25)]),
        (LISTS, 'a', 9, [(1, 0.5), (2, 0.25), (0, 0.125)]),
        ({'v_a': {'class': 'swim', 'score': 0.75}}, 'a', 1, [(2, 0.75)]),
        (NAMES, 'v_a', 2, [(2, 0.5), (0, 0.25)]),
        # Equal scores keep their order.
        ({'a': {'swim': 0.5, 'run': 0.5}}, 'a', 1, [(2, 0.5)]),
    ],
)
def test_the_best_classes_of_each_layout(tmp_path, content, video_id, top_k, expected):
    assert scores_of(tmp_path, content, video_id, top_k=top_k) == expected


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        ({'b': {'run': 1.0}}, 'no scores of video a'),
        ({'a': {'fly': 1.0}}, r"class\(es\) \['fly'\]"),
        ({'class': ['run'], 'results': {'a': [0.1, 0.2]}}, 'not one finite'),
        ({'class': ['run'], 'results': {'a': [float('nan')]}}, 'not one finite'),
        ({'a': {'run': 'high'}}, 'not one finite'),
        ({'a': [0.5]}, 'not one finite'),
        ([], 'expected an object'),
        ({'results': [1]}, 'expected an object'),
        ('{', 'is not valid JSON'),
    ],
)
def test_bad_files_are_named(tmp_path, content, message):
    with pytest.raises(ValueError, match=message) as caught:
        scores_of(tmp_path, content)
    assert 'scores.json' in str(caught.value)


def test_unusable_settings_name_the_way_out(tmp_path):
    transform = LoadVideoScores(write(tmp_path, {'a': {'run': 1.0}}))
    with pytest.raises(ValueError, match='class_agnostic=True'):
        transform(dict(video_id='a'))
    with pytest.raises(ValueError, match='top_k=0'):
        LoadVideoScores(write(tmp_path, {}), top_k=0)
    with pytest.raises(ValueError, match='none.json.*class_agnostic=True'):
        LoadVideoScores(str(tmp_path / 'none.json'))
