"""The matching and the mAP against the official evaluation and slow references."""

from __future__ import annotations

import json
from collections import Counter
from itertools import count
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmtal_mts.evaluation import mean_average_precision
from mmtal_mts.evaluation.functional.mean_ap import UNMATCHED
from mmtal_mts.structures import Segments

GOLDENS = Path(__file__).parent.parent / 'data' / 'goldens'


def read(items, classes):
    """Segments of a video; detections have scores and may be of no class."""
    index = {name: label for label, name in enumerate(classes)}
    scores = [item['score'] for item in items if 'score' in item]
    return Segments(
        [list(map(float, item['segment'])) for item in items],
        [index.get(item['label'], -1) for item in items],
        scores or None,
    )


def by_the_book(truth, detections, num_classes, thresholds):
    """AP (M, K), and the segments (M, S) that detections find, by descending score."""
    results = [_by_the_book(truth, detections, num_classes, t) for t in thresholds]
    return [np.array(part) for part in zip(*results, strict=True)]


def _by_the_book(truth, detections, num_classes, threshold):
    targets, places = {}, count()
    for video, t in truth.items():
        for label, segment in zip(t.labels.tolist(), t.segments.tolist(), strict=True):
            targets.setdefault((video, label), {})[next(places)] = segment
    positives = Counter(label for t in truth.values() for label in t.labels.tolist())
    rows = [
        (score, (video, label), segment)
        for video, found in detections.items()
        for segment, label, score in zip(*map(list, vars(found).values()), strict=True)
        if video in truth and label in positives
    ]
    rows.sort(key=lambda row: -row[0])
    matched = []
    for _, key, (start, end) in rows:
        best = threshold, UNMATCHED
        for place, (s, e) in targets.get(key, {}).items():
            overlap = min(e, end) - max(s, start)
            tiou = overlap / (end - start + e - s - overlap) if overlap > 0 else 0.0
            best = max(best, (tiou, place))
        targets.get(key, {}).pop(best[1], None)
        matched.append(best[1])
    ap = np.full(num_classes, np.nan)
    for label, positive in positives.items():
        own = [m for m, row in zip(matched, rows, strict=True) if row[1][1] == label]
        hits = np.array(own) != UNMATCHED
        precision = np.cumsum(hits) / np.arange(1, len(hits) + 1)
        ap[label] = sum(precision[i:].max() for i in np.flatnonzero(hits)) / positive
    return ap, matched


def test_edge_cases_equal_the_official_evaluation():
    case = json.loads((GOLDENS / 'd_eval_edge.json').read_text())
    database, classes, thresholds = (
        case['gt']['database'],
        case['class_order'],
        case['tiou'],
    )
    videos = {k: v['annotations'] for k, v in database.items() if v['subset'] == 'test'}
    # In order of appearance, as the original reads them.
    labels = [item['label'] for items in videos.values() for item in items]
    assert classes == list(dict.fromkeys(labels))
    truth = {name: read(items, classes) for name, items in videos.items()}
    found = {name: read(items, classes) for name, items in case['pred'].items()}
    result = mean_average_precision(truth, found, 3, thresholds)
    np.testing.assert_allclose(result.ap, case['ap_tiou_by_class'], atol=1e-12)
    np.testing.assert_allclose(result.mean_ap, case['mAP'], atol=1e-12)
    assert abs(result.average() - case['average_mAP']) < 1e-12
    # v3 is of another subset, v4 unknown; D is not a class of the subset.
    counts = dict(videos=2, segments=6, detections=9, unknown_video=2, unknown_class=1)
    assert result.counts == counts
    # With a reversed detection the official evaluation divides 0 by 0 and counts a
    # match; here it is a false positive.
    quirk = case['quirk_reversed']
    found['v1'] = read([*case['pred']['v1'], quirk['extra_v1']], classes)
    with np.errstate(all='raise'):
        ap = mean_average_precision(truth, found, 3, thresholds).ap
    slow, _ = by_the_book(truth, found, 3, thresholds)
    np.testing.assert_allclose(ap, slow, atol=1e-12)
    assert (ap < np.array(quirk['ap_tiou_by_class']))[:, 0].all()


def by_video(names, rows, time_scale, labels=None):
    """Segments of rows of video, label, start, end and score in millionths, if any."""
    videos = {}
    for index, name in enumerate(names):
        own = rows[rows[:, 0] == index]
        label = own[:, 1] if labels is None else labels[own[:, 1]]
        scores = own[:, 4] / 1e6 if own.shape[1] > 4 else None
        videos[name] = Segments(own[:, 2:4] / time_scale, label, scores)
    return videos


def test_real_ground_truth_equals_the_slow_reference():
    case = json.loads((GOLDENS / 'd_eval_subset.json').read_text())
    parts = (by_video(case['videos'], np.array(case[k]), 100) for k in ('gt', 'rows'))
    inputs = *parts, len(case['labels']), [0.1, 0.3, 0.5, 0.7, 0.95]
    result, (slow, matched) = mean_average_precision(*inputs), by_the_book(*inputs)
    np.testing.assert_allclose(result.ap, slow, atol=1e-12)
    np.testing.assert_array_equal(result.matched, matched)
    assert 0.1 < result.average() < 0.9
    assert result.average([0.5]) == pytest.approx(np.nanmean(slow[2]), abs=1e-12)


def test_42317_detections_equal_the_official_evaluation():
    expected = json.loads((GOLDENS / 'd_eval_result.json').read_text())
    with np.load(GOLDENS / 'thumos14_afsd.npz') as data:
        names = [f'video_test_{number:07d}' for number in data['gt_videos']]
        truth = by_video(names, data['gt_rows'], 10)
    with np.load(GOLDENS / 'd_eval_predictions.npz') as data:
        labels = map(expected['class_order'].index, data['labels'].tolist())
        videos, rows = data['videos'].tolist(), data['rows']
        found = by_video(videos, rows, 100, np.array([*labels]))
    result = mean_average_precision(truth, found, 20, expected['tiou'])
    np.testing.assert_allclose(result.ap, expected['ap_tiou_by_class'], atol=1e-9)
    np.testing.assert_allclose(result.mean_ap, expected['mAP'], atol=1e-9)
    average = result.average([0.3, 0.4, 0.5, 0.6, 0.7])
    assert abs(average - expected['average_mAP_03_07']) < 1e-9
    assert result.counts['segments'] == expected['n_gt']


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_random_cases_equal_the_slow_references(data):
    # Few values: many equal overlaps, touching, empty and reversed segments.
    number = st.integers(0, 7).map(float)
    segment = st.tuples(number, number)
    truth, detections, scores = {}, {}, list(range(1, 60))
    for video_id in ('a', 'b', 'c'):
        gt = data.draw(st.lists(st.tuples(segment, st.integers(0, 1)), max_size=6))
        truth[video_id] = Segments([s for s, _ in gt], [k for _, k in gt])
        found = data.draw(st.lists(st.tuples(segment, st.integers(0, 2)), max_size=14))
        picked = [scores.pop(data.draw(st.integers(0, len(scores) - 1))) for _ in found]
        columns = [s for s, _ in found], [k for _, k in found], np.array(picked) / 60
        detections[video_id] = Segments(*columns)
    if not any(len(t.labels) for t in truth.values()):
        with pytest.raises(ValueError, match='no segment'):
            mean_average_precision(truth, detections, 3)
        return
    inputs = truth, detections, 3, (0.1, 0.5, 1.0)
    result, (slow, matched) = mean_average_precision(*inputs), by_the_book(*inputs)
    np.testing.assert_allclose(result.ap, slow, atol=1e-12)
    np.testing.assert_array_equal(result.matched, matched)


ONE = Segments([[0.0, 4.0]], [0])
RIGHT, WRONG = [0.0, 4.0], [5.0, 9.0]


@pytest.mark.parametrize(
    ('found', 'average'),
    [
        ({}, 0.0),
        # Equal scores are taken in the given order.
        ({'v': Segments([RIGHT, WRONG], [0, 0], [0.5, 0.5])}, 1.0),
        ({'v': Segments([WRONG, RIGHT], [0, 0], [0.5, 0.5])}, 0.5),
        # A video without a segment holds false positives.
        (
            {k: Segments([RIGHT], [0], [x]) for k, x in (('v', 0.5), ('empty', 0.9))},
            0.5,
        ),
    ],
)
def test_ties_and_what_is_not_there(found, average):
    truth = {'v': ONE, 'empty': Segments.empty()}
    assert mean_average_precision(truth, found, 1).average() == average


def test_bad_input_is_named():
    for thresholds in ([], [0.0], [1.5], [np.nan]):
        with pytest.raises(ValueError, match='tIoU thresholds'):
            mean_average_precision({'v': ONE}, {}, 1, thresholds)
    with pytest.raises(ValueError, match='video v.*label outside'):
        mean_average_precision({'v': Segments([[0.0, 4.0]], [3])}, {}, 1)
    nan = Segments([[0.0, 4.0]], [0], [np.nan])
    with pytest.raises(ValueError, match='video v'):
        mean_average_precision({'v': ONE}, {'v': nan}, 1)
    with pytest.raises(ValueError, match=r'\[0.6\]: choose from \[0.5\]'):
        mean_average_precision({'v': ONE}, {}, 1, [0.5]).average([0.6])


def test_an_entangled_segment_goes_to_whoever_is_left_without():
    truth = {'v': Segments([[0, 10], [2, 12], [0, 9]], [0, 0, 1])}
    segments = [[2, 12], [1, 11], [0, 9]]
    found = {'v': Segments(segments, [0, 0, 0], [0.9, 0.8, 0.7])}
    matched = mean_average_precision(truth, found, 2, [0.1, 0.5, 1]).matched
    # The second overlaps both alike, and only the first segment is left.
    both, exact = [1, 0, UNMATCHED], [1, UNMATCHED, UNMATCHED]
    assert matched.tolist() == [both, both, exact]
