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


def test_list_per_video_takes_the_best(tmp_path):
    content = {'class': ['swim', 'run', 'jump'], 'results': {'a': [0.25, 0.125, 0.5]}}
    assert scores_of(tmp_path, content) == [(1, 0.5)]
    assert scores_of(tmp_path, content, top_k=2) == [(1, 0.5), (2, 0.25)]
    assert len(scores_of(tmp_path, content, top_k=9)) == 3


def test_best_class_only(tmp_path):
    content = {'v_a': {'class': 'swim', 'score': 0.75}}
    assert scores_of(tmp_path, content) == [(2, 0.75)]


def test_names_and_scores(tmp_path):
    content = {'a': {'run': 0.25, 'swim': 0.5}}
    assert scores_of(tmp_path, content, 'v_a', top_k=2) == [(2, 0.5), (0, 0.25)]


def test_equal_scores_keep_their_order(tmp_path):
    content = {'a': {'swim': 0.5, 'run': 0.5}}
    assert scores_of(tmp_path, content) == [(2, 0.5)]


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


def test_data_set_with_classes_is_refused(tmp_path):
    transform = LoadVideoScores(write(tmp_path, {'a': {'run': 1.0}}))
    with pytest.raises(ValueError, match='class_agnostic=True'):
        transform(dict(video_id='a'))


def test_top_k_is_checked(tmp_path):
    with pytest.raises(ValueError, match='top_k=0'):
        LoadVideoScores(write(tmp_path, {}), top_k=0)


def test_missing_file_names_both_ways_out(tmp_path):
    with pytest.raises(ValueError, match='none.json.*class_agnostic=True'):
        LoadVideoScores(str(tmp_path / 'none.json'))
