"""Files of any system to the mAP: what is said, and what is left out."""

from __future__ import annotations

import gzip
import json
import re
from argparse import ArgumentTypeError

import pytest

from mmtal_mts.evaluation.protocols import (
    PROTOCOLS,
    load_evaluation_data,
    load_ground_truth,
    parse_thresholds,
)
from mmtal_mts.utils import UserError


def write(path, videos, duration=100.0):
    """A gzipped ground truth: by video id the segments of its one class."""
    database = {}
    for name, segments in videos.items():
        annotations = [{'segment': segment, 'label': 'run'} for segment in segments]
        entry = {'duration': duration, 'annotations': annotations}
        database[name] = entry | {'subset': 'training' if name == 'c' else 'test'}
    path.write_bytes(gzip.compress(json.dumps({'database': database}).encode()))
    return path


@pytest.fixture
def files(tmp_path):
    """Ground truth of three videos, and detections in one of them and elsewhere."""
    run, fly = ({'label': label, 'segment': [0, 10]} for label in ('run', 'fly'))
    results = {'a': [run | {'score': 0.5}, fly | {'score': 0.9}]}
    results['elsewhere'] = [run | {'score': 0.8}]
    (tmp_path / 'pred.json').write_text(json.dumps({'results': results}))
    truth = write(tmp_path / 'gt.json.gz', dict.fromkeys('abc', [[0, 10]]))
    return truth, tmp_path / 'pred.json'


@pytest.fixture
def messages(monkeypatch):
    """What is logged."""
    found = []
    for module in ('protocols', 'functional.detections'):
        monkeypatch.setattr(
            f'mmtal_mts.evaluation.{module}.print_log',
            lambda message, **kwargs: found.append(message),
        )
    return found


@pytest.mark.parametrize(
    ('counted', 'fate', 'average'),
    # One of two segments, found at the second place if the other video counts.
    [(False, 'are left out', 0.5), (True, 'count as false positives', 0.25)],
)
def test_what_only_one_file_has_is_told(files, messages, counted, fate, average):
    options = dict(subset='test', count_unknown_videos=counted)
    assert load_evaluation_data(*files, **options).evaluate().average() == average
    text = '\n'.join(messages)
    assert '1 of 2 videos have no detection, their segments count as missed: b' in text
    assert f'not in the ground truth, they {fate}: elsewhere' in text
    assert re.search('1 classes of .*pred.json are unknown to the annotation, ', text)
    assert 'their 1 detections are left out: fly' in text


def test_videos_are_excluded_by_name_and_by_protocol(files, messages):
    data = load_evaluation_data(*files, exclude_videos=['b', 'c'])
    assert list(data.ground_truth) == ['a']
    with pytest.raises(ValueError, match=r"\['x'\] are not there"):
        load_evaluation_data(*files, exclude_videos=['x'])
    with pytest.raises(ValueError, match="protocol='thumos': choose from.*thumos14"):
        load_evaluation_data(*files, protocol='thumos')
    data = load_evaluation_data(*files, protocol='thumos14', subset='test')
    assert data.tiou_thresholds == PROTOCOLS['thumos14'].tiou_thresholds
    assert '2 segments in 2 videos' in '\n'.join(messages)


def test_files_without_a_common_video_are_refused(files):
    files[1].write_text(json.dumps({'results': {'v_a': []}}))
    with pytest.raises(UserError, match="e.g. 'v_a' and 'a'.*prefix"):
        load_evaluation_data(*files)


def test_thresholds_as_a_person_writes_them():
    assert parse_thresholds('0.1:0.7:0.1') == (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7)
    assert parse_thresholds('0.5:0.95:0.05')[-1] == 0.95
    assert parse_thresholds('0.5, 0.75') == (0.5, 0.75)
    assert parse_thresholds('0.3:0.3:1') == (0.3,)
    for text in ('', 'x', '0:1:0.1', '0.5:0.1:0.1', '0.1:0.5:0', '0.1:0.5', '1.5'):
        with pytest.raises(ArgumentTypeError, match='tIoU thresholds'):
            parse_thresholds(text)


def test_ground_truth_past_the_end_is_kept_for_evaluation(files):
    write(files[0], dict(a=[[0, 10], [5, 5]]), duration=9)
    with pytest.raises(ValueError, match='ends 1.000 s after'):
        load_evaluation_data(*files)
    data = load_evaluation_data(*files, on_invalid='keep')
    assert data.ground_truth['a'].actions.segments.tolist() == [[0, 10], [5, 5]]
    # A segment without length counts, and cannot be found.
    assert data.evaluate().average() == 0.5


def test_protocols_leave_videos_out_keep_late_segments_and_compare(tmp_path, messages):
    # Two videos of the official list, with a segment that ends behind its video.
    names = ('video_test_0000270', 'video_test_0000004')
    actions = dict.fromkeys(names, [[1.0, 99.0]])
    ann_file = write(tmp_path / 'gt.json', actions, duration=20.0)
    assert len(PROTOCOLS['activitynet'].tiou_thresholds) == 10
    assert len(PROTOCOLS['thumos14-afsd'].exclude_videos) == 3
    classes, videos = load_ground_truth(ann_file, protocol='thumos14-afsd')
    assert classes == ('run',) and set(videos) == {'video_test_0000004'}
    # What ends behind its video counts as it is, as it did for the published numbers.
    (video,) = videos.values()
    assert video.actions.segments.tolist() == [[1.0, 99.0]]
    (text,) = messages
    assert '1 segments in 1 videos, but published numbers rest on 3311 in 210' in text
    # There is nothing to compare with.
    load_ground_truth(ann_file, protocol='activitynet')
    assert messages[1:] == ['protocol activitynet: 2 segments in 2 videos']
    with pytest.raises(ValueError, match='no segment'):
        load_ground_truth(ann_file, protocol='thumos14-opentad')
