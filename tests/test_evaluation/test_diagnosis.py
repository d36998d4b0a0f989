"""Error kinds, what fixing them brings, and buckets, on cases done by hand."""

from __future__ import annotations

import json
import re
from html import unescape

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmtal_mts.apis.diagnosis_report import write_diagnosis
from mmtal_mts.evaluation.diagnosis import KINDS, PAPER_EDGES, diagnose
from mmtal_mts.structures import Segments, VideoAnnotation

A, B = 0, 1


def video(segments, labels, duration=100.0, name='v'):
    actions = Segments(segments, labels)
    return VideoAnnotation(name, 'test', duration, None, None, actions)


TRUTH = {'v': video([[0, 10], [40, 50], [20, 30]], [A, A, B])}
SEGMENTS = [[60, 70], [0, 10], [0, 9], [20, 30], [20, 24], [42, 46]]
SCORES = [0.4, 0.9, 0.8, 0.7, 0.6, 0.5]
FOUND = {'v': Segments(SEGMENTS, [A, A, A, A, B, B], SCORES)}


def made_up(thresholds, **options):
    return diagnose(['a', 'b'], TRUTH, FOUND, thresholds, **options)


def test_each_detection_is_of_the_kind_that_was_made_up_for_it():
    result = made_up([0.5, 0.3, 0.95])
    assert list(result.kinds) == list(KINDS) and result.mixed_up == [('b', 'a', 1)]
    # The doubled and the localized detection have tIoU 0.9 and 0.4. At 0.3 the short
    # detections find their segment or would with another label.
    kinds = [[1, 1, 1, 1, 1, 1], [2, 1, 2, 0, 0, 1], [1, 0, 1, 2, 1, 1]]
    assert np.transpose([*result.kinds.values()]).tolist() == kinds
    # Class a: 2 segments, ranks TP double | wrong background; class b: 1 segment,
    # ranks localization | confusion.
    first, second, *rest = result.profile[0].tolist()
    assert first == [1, 1, 0, 1, 0, 0]
    assert second == [0, 0, 1, 0, 1, 1]
    assert not np.any(rest)


def test_fixing_one_kind_gives_the_map_computed_by_hand():
    result = made_up([0.5])
    # Class a has one of two segments at rank 1 of 4: AP 1/2. Class b has none.
    assert result.mean_ap.tolist() == [0.25]
    assert json.loads(json.dumps(result.to_json()))['fixed'] == {
        'double_detection': [0.25],
        'wrong_label': [0.75],  # class b is found at rank 1
        'localization': [0.75],  # the same, by its own detection
        'confusion': [0.375],  # the second of class a at rank 4: (1 + 2/4) / 2
        'background': [0.25],
        'missed': [1.0],
        'any_false_positive': [0.25],
    }


def test_a_segment_is_given_to_the_best_detection_only_and_not_if_it_is_found():
    truth = {'v': video([[0, 10], [20, 30]], [A, A])}
    # The first is found with score 0.5; two detections would be right for the second.
    segments = [[0, 4], [0, 10], [20, 24], [26, 30]]
    found = {'v': Segments(segments, [A, A, A, A], [0.9, 0.5, 0.4, 0.3])}
    result = diagnose(['a'], truth, found, [0.5])
    assert [count for (count,) in result.kinds.values()] == [1, 0, 0, 3, 0, 0]
    # Left: 0.5 finds the first, 0.4 the second.
    assert result.fixed['localization'] == 1.0
    assert result.mean_ap[0] == 0.25


def test_missed_segments_by_length_coverage_and_instances():
    truth = {
        'long': video([[0, 10], [10, 40]], [A, A], 100.0),
        'short': video([[0, 4]], [A], 4.0),
    }
    found = {'long': Segments([[10, 40]], [A], [1.0])}
    edges = dict(length=[4, 20], coverage=[0.2, 0.5], instances=[1])
    tables = diagnose(['a'], truth, found, [0.5, 0.9], edges=edges).buckets
    assert [table.characteristic for table in tables] == [*edges]
    # An edge belongs to the bucket that it ends.
    assert [(t.buckets, t.total.tolist(), t.missed.tolist()) for t in tables] == [
        (('XS: <= 4 s', 'S: 4 - 20 s', 'M: > 20 s'), [1, 1, 1], [[1, 1, 0]] * 2),
        (('XS: <= 20 %', 'S: 20 - 50 %', 'M: > 50 %'), [1, 1, 1], [[1, 0, 1]] * 2),
        (('XS: 1', 'S: > 1'), [1, 2], [[1, 1]] * 2),
    ]


def test_buckets_divide_the_segments_evenly_and_coverage_needs_durations():
    segments = [[0, length] for length in range(1, 11)]
    truth = {'v': video(segments, [A] * 10, duration=None)}
    length, instances = diagnose(['a'], truth, {}, [0.5]).buckets
    assert length.total.tolist() == length.missed[0].tolist() == [2, 2, 2, 2, 2]
    assert (instances.buckets, instances.total.tolist()) == (('all',), [10])


@pytest.mark.parametrize(
    ('dataset', 'names'),
    [
        ('thumos14', ['M: 6 - 12 s L: 12 - 18 s', 'L: 6 - 8 % XL: > 8 %', 'XS: 1']),
        ('activitynet', ['XS: <= 30 s', 'XS: <= 20 %', 'XS: 1']),
    ],
)
def test_buckets_of_the_paper_keep_their_names_where_the_ends_are_empty(dataset, names):
    truth = {'v': video([[0, 7], [20, 34]], [A, B])}
    tables = diagnose('ab', truth, {}, [0.5], edges=PAPER_EDGES[dataset]).buckets
    assert [' '.join(table.buckets) for table in tables] == names


def test_unusable_settings_are_refused():
    with pytest.raises(ValueError, match='background_tiou'):
        made_up([0.5], background_tiou=0)
    with pytest.raises(ValueError, match=r'tIoU thresholds \[0.4\]: choose from'):
        made_up([0.5], main_tiou=0.4)
    with pytest.raises(ValueError, match='not ascending'):
        made_up([0.5], edges=dict(length=[3, 2]))
    # Without 0.5 the one in the middle.
    assert made_up([0.3, 0.4, 0.7]).main_tiou == 0.4


def test_a_bucket_is_measured_without_what_finds_other_segments():
    # Class a: a short and a long segment, b: a short one. N is 3 / 2.
    truth = {'v': video([[0, 4], [10, 30], [50, 54]], [A, A, B])}
    segments = [[0, 4], [60, 64], [10, 30], [50, 52]]
    found = {'v': Segments(segments, [A, A, A, B], [0.9, 0.8, 0.7, 0.6])}
    edges = dict(length=[10])
    length = diagnose('abc', truth, found, [0.5, 0.75], edges=edges).buckets[0]
    # a: hits at ranks 1 and 3, precision 1 and R N / (R N + 1) = 1.5 / 2.5;
    # b: its detection has tIoU 0.5.
    a = (1 + 1.5 / 2.5) / 2
    np.testing.assert_allclose(length.overall, [(a + 1) / 2, a / 2])
    assert length.buckets == ('XS: <= 10 s', 'S: > 10 s')
    assert length.total.tolist() == [2, 1]
    # Short ones: both are found first. Long one: one false positive before it, so
    # precision 1.5 / (1.5 + 1); class b has none and does not count.
    np.testing.assert_allclose(length.mean_ap, [[1.0, 0.6], [0.5, 0.6]])
    overall = length.overall.mean()
    expected = [0.75 / overall - 1, 0.6 / overall - 1]
    np.testing.assert_allclose(length.relative_change, expected)
    assert length.sensitivity == pytest.approx(0.15)
    assert length.impact == pytest.approx(0.75 - overall)


def test_as_many_segments_in_every_class_is_the_usual_map():
    truth = {'v': video([[0, 4], [10, 14], [20, 24], [30, 34]], [A, A, B, B])}
    found = {'v': Segments([[50, 54], [0, 4], [20, 24]], [A, A, B], [0.9, 0.8, 0.7])}
    result = diagnose(['a', 'b'], truth, found, [0.5])
    np.testing.assert_allclose(result.buckets[0].overall, result.mean_ap)
    # Instances: all segments are in one bucket.
    instances = result.buckets[2]
    np.testing.assert_allclose(instances.mean_ap[:, 0], instances.overall)
    assert instances.sensitivity == 0


def test_nothing_found_is_a_diagnosis_without_nan(tmp_path):
    truth = {'v': video([[0, 4], [0, 50]], [A, A])}
    result = diagnose('ab', truth, {}, [0.5], edges=dict(length=[10, 20]))
    json_path, page_path = write_diagnosis(tmp_path, result, 'nothing', 0.1)
    content = json.loads(json_path.read_text(encoding='utf-8'))
    assert content['mean_ap'] == [0.0] and content['ap'] == [[0.0, None]]
    assert not any(map(np.any, content['kinds'].values()))
    assert [value for (value,) in content['fixed'].values()] == [0, 0, 0, 0, 0, 1, 0]
    length = content['buckets'][0]
    assert length['buckets'] == ['XS: <= 10 s', 'S: 10 - 20 s', 'M: > 20 s']
    assert length['mean_ap'] == [[0.0, None, 0.0]]
    assert length['relative_change'] == [None, None, None]
    assert length['sensitivity'] == length['impact'] == 0
    text = page_path.read_text(encoding='utf-8')
    assert 'Missed segments' in text and 'taken for each other' not in text


times = st.integers(0, 12)
segment = st.tuples(times, st.integers(1, 6)).map(lambda s: [s[0], s[0] + s[1]])
labelled = st.lists(st.tuples(segment, st.integers(0, 2)), min_size=1, max_size=6)
scored = st.lists(st.tuples(segment, st.integers(0, 2), st.integers(1, 5)), max_size=14)


@settings(max_examples=60, deadline=None)
@given(videos=st.lists(st.tuples(labelled, scored), min_size=1, max_size=3))
def test_a_fix_never_lowers_the_map(videos):
    truth, found = {}, {}
    for name, (segments, detections) in enumerate(videos):
        truth[name] = video(*zip(*segments, strict=True))
        found[name] = Segments(*([d[k] for d in detections] for k in range(3)))
    result = diagnose('abc', truth, found, [0.3, 0.5, 0.9])
    assert (sum(result.kinds.values()) == result.counts['detections']).all()
    for values in result.fixed.values():
        assert (values >= result.mean_ap - 1e-12).all()
    for table in result.buckets:
        assert table.total.sum() == result.segments.sum()
        found_share = 1 - table.missed.sum(axis=1) / table.total.sum()
        np.testing.assert_allclose(found_share, result.recall)
        chosen = table.mean_ap[np.isfinite(table.mean_ap)]
        assert (chosen >= 0).all() and (chosen <= 1 + 1e-12).all()
        if len(table.buckets) == 1:
            np.testing.assert_allclose(table.mean_ap[:, 0], table.overall)


EVIL = '--><script>alert("$x_1$")</script>[bold]'


def test_the_page_needs_nothing_else_and_names_are_text(tmp_path):
    truth = {'v': video([[0.0, 10], [20, 30]], [A, B], 60.0)}
    found = {'v': Segments([[0, 10], [20, 30], [0, 5]], [A, A, B], [0.9, 0.8, 0.7])}
    evil = diagnose([EVIL, 'b', 'unused'], truth, found, [0.3, 0.5])
    json_path, page_path = write_diagnosis(tmp_path / 'out', evil, EVIL, 0.1)
    content = page_path.read_text(encoding='utf-8')
    assert '<script' not in content and 'unused' not in content
    (picture,) = re.findall(r'(?:src|href|url)\W+([\w:/;,]+)', content)
    assert picture.startswith('data:image/png;base64,')
    titles = re.findall('<(?:title|h1)>(.*)</', content)
    assert [*map(unescape, titles)] == [EVIL, EVIL]
    text = unescape(re.sub('<[^>]*>', '', content))
    assert text.count(EVIL) >= 4  # and in the tables
    # AP of class b is 0, of the other 1.
    assert re.search(r'mAP\W+50\.0\W+50\.0\W+50\.0\W+2\b', text)
    assert re.search(r'wrong label\W+2\W+2\b', text)
    written = json.loads(json_path.read_text(encoding='utf-8'))
    assert written['mean_ap'] == evil.mean_ap.tolist()
    names = sorted(path.name for path in page_path.parent.iterdir())
    assert names == ['diagnosis.json', 'report.html']
