"""The matching and the mAP against the official evaluation and slow references."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmtal_mts.evaluation import mean_average_precision
from mmtal_mts.evaluation.functional.mean_ap import UNMATCHED
from mmtal_mts.structures import Segments, pairwise_tiou

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


def edge_case(*more):
    """The recorded case, its ground truth of the test subset, and its detections."""
    case = json.loads((GOLDENS / 'd_eval_edge.json').read_text())
    database, classes = case['gt']['database'], case['class_order']
    videos = {k: v['annotations'] for k, v in database.items() if v['subset'] == 'test'}
    # In order of appearance, as the original reads them.
    labels = [item['label'] for items in videos.values() for item in items]
    assert classes == list(dict.fromkeys(labels))
    case['pred']['v1'] += [case[key]['extra_v1'] for key in more]
    parts = (videos, case['pred'])
    return case, *({k: read(v, classes) for k, v in part.items()} for part in parts)


def slow_ap(truth, detections, label, threshold):
    """AP of one class and threshold, by the book."""
    open_segments = {
        video_id: list(map(tuple, t.segments[t.labels == label].tolist()))
        for video_id, t in truth.items()
    }
    positives = sum(len(segments) for segments in open_segments.values())
    if not positives:
        return np.nan
    rows = [
        (score, video_id, *segment)
        for video_id, found in detections.items()
        if video_id in truth and len(own := found[found.labels == label])
        for segment, score in zip(own.segments.tolist(), own.scores, strict=True)
    ]
    true, curve = 0, []
    rows = sorted(rows, key=lambda row: -row[0])
    for count, (_, video_id, start, end) in enumerate(rows, 1):
        best, best_row = -1.0, None
        for row, (s, e) in enumerate(open_segments[video_id]):
            overlap = min(e, end) - max(s, start)
            tiou = overlap / (end - start + e - s - overlap) if overlap > 0 else 0.0
            if tiou >= best:
                best, best_row = tiou, row
        if best_row is not None and best >= threshold:
            open_segments[video_id].pop(best_row)
            true += 1
        curve.append((true / positives, true / count))
    area, last = 0.0, 0.0
    for recall, _ in curve:
        if recall > last:
            area += (recall - last) * max(p for r, p in curve if r >= recall)
            last = recall
    return area


def slow_mean_ap(truth, detections, num_classes, thresholds):
    """AP (M, K) by the book."""
    return np.array(
        [
            [slow_ap(truth, detections, label, t) for label in range(num_classes)]
            for t in thresholds
        ]
    )


def test_edge_cases_equal_the_official_evaluation():
    case, truth, detections = edge_case()
    result = mean_average_precision(truth, detections, 3, case['tiou'])
    np.testing.assert_allclose(result.ap, case['ap_tiou_by_class'], atol=1e-12)
    np.testing.assert_allclose(result.mean_ap, case['mAP'], atol=1e-12)
    assert abs(result.average() - case['average_mAP']) < 1e-12
    # v3 is of another subset, v4 unknown; D is not a class of the subset.
    counts = dict(videos=2, segments=6, detections=9, unknown_video=2, unknown_class=1)
    assert result.counts == counts


def test_a_reversed_detection_is_a_false_positive():
    # The official evaluation divides 0 by 0 there and counts a match.
    case, truth, detections = edge_case('quirk_reversed')
    with np.errstate(all='raise'):
        ap = mean_average_precision(truth, detections, 3, case['tiou']).ap
    slow = slow_mean_ap(truth, detections, 3, case['tiou'])
    np.testing.assert_allclose(ap, slow, atol=1e-12)
    assert (ap < np.array(case['quirk_reversed']['ap_tiou_by_class']))[:, 0].all()


def test_real_ground_truth_equals_the_slow_reference():
    case = json.loads((GOLDENS / 'd_eval_subset.json').read_text())
    rows, gt = np.array(case['rows']), np.array(case['gt'])
    truth, detections = {}, {}
    for index, name in enumerate(case['videos']):
        t, d = gt[gt[:, 0] == index], rows[rows[:, 0] == index]
        truth[name] = Segments(t[:, 2:] / 100, t[:, 1])
        detections[name] = Segments(d[:, 2:4] / 100, d[:, 1], d[:, 4] / 1e6)
    inputs = truth, detections, len(case['labels']), [0.1, 0.3, 0.5, 0.7, 0.95]
    result, slow = mean_average_precision(*inputs), slow_mean_ap(*inputs)
    np.testing.assert_allclose(result.ap, slow, atol=1e-12)
    assert 0.1 < result.average() < 0.9
    assert result.average([0.5]) == pytest.approx(np.nanmean(slow[2]), abs=1e-12)


def test_42317_detections_equal_the_official_evaluation():
    expected = json.loads((GOLDENS / 'd_eval_result.json').read_text())
    with np.load(GOLDENS / 'thumos14_afsd.npz') as data:
        numbers, gt = data['gt_videos'], data['gt_rows']
    with np.load(GOLDENS / 'd_eval_predictions.npz') as data:
        videos, rows, names = (data[key] for key in ('videos', 'rows', 'labels'))
    labels = np.array([expected['class_order'].index(name) for name in names.tolist()])
    truth, detections = {}, {}
    for index, number in enumerate(numbers):
        own = gt[gt[:, 0] == index]
        truth[f'video_test_{number:07d}'] = Segments(own[:, 2:] / 10, own[:, 1])
    for index, name in enumerate(videos.tolist()):
        d = rows[rows[:, 0] == index]
        detections[name] = Segments(d[:, 2:4] / 100, labels[d[:, 1]], d[:, 4] / 1e6)
    result = mean_average_precision(truth, detections, 20, expected['tiou'])
    np.testing.assert_allclose(result.ap, expected['ap_tiou_by_class'], atol=1e-9)
    np.testing.assert_allclose(result.mean_ap, expected['mAP'], atol=1e-9)
    average = result.average([0.3, 0.4, 0.5, 0.6, 0.7])
    assert abs(average - expected['average_mAP_03_07']) < 1e-9
    assert result.counts['segments'] == expected['n_gt']


def match_one_by_one(result):
    """The definition: segment of each true positive (M, S)."""
    tiou = pairwise_tiou(result.found.segments, result.truth.segments)
    same = result.video[:, None] == result.truth_video
    same &= result.found.labels[:, None] == result.truth.labels
    matched = np.full((len(result.tiou_thresholds), len(tiou)), UNMATCHED)
    for row, threshold in zip(matched, result.tiou_thresholds, strict=True):
        for s, own in enumerate(same):
            free = [(tiou[s, g], g) for g in np.flatnonzero(own) if g not in row]
            if free and max(free)[0] >= threshold:
                row[s] = max(free)[1]
    return matched


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
    thresholds = (0.1, 0.5, 1.0)
    result = mean_average_precision(truth, detections, 3, thresholds)
    slow = slow_mean_ap(truth, detections, 3, thresholds)
    np.testing.assert_allclose(result.ap, slow, atol=1e-12)
    np.testing.assert_array_equal(result.matched, match_one_by_one(result))


def test_ground_truth_as_detections_is_perfect():
    segments, labels = [[0.0, 4.0], [2.0, 6.0], [8.0, 9.0]], [0, 0, 2]
    truth = {'v': Segments(segments, labels)}
    found = {'v': Segments(segments, labels, np.full(3, 0.5))}
    result = mean_average_precision(truth, found, 4, [0.5, 1.0])
    assert result.mean_ap.tolist() == [1.0, 1.0]
    assert np.isnan(result.ap[:, [1, 3]]).all()


ONE = Segments([[0.0, 4.0]], [0])


def test_equal_scores_are_taken_in_the_given_order():
    right, wrong = [0.0, 4.0], [5.0, 9.0]
    for segments, expected in (([right, wrong], 1.0), ([wrong, right], 0.5)):
        found = {'v': Segments(segments, [0, 0], [0.5, 0.5])}
        result = mean_average_precision({'v': ONE}, found, 1, [0.5])
        assert result.average() == expected


def test_no_detection_is_zero_and_a_video_without_truth_holds_false_positives():
    truth = {'v': ONE, 'empty': Segments.empty()}
    assert mean_average_precision(truth, {}, 1).average() == 0.0
    scores = {'v': [0.5], 'empty': [0.9]}
    found = {name: Segments([[0, 4]], [0], score) for name, score in scores.items()}
    assert mean_average_precision(truth, found, 1).average() == 0.5


@pytest.mark.parametrize(
    ('truth', 'found', 'thresholds', 'message'),
    [
        *((ONE, ONE, bad, 'tIoU thresholds') for bad in ([], [0.0], [1.5], [np.nan])),
        (Segments([[0.0, 4.0]], [3]), ONE, [0.5], 'video v.*label outside'),
        (ONE, Segments([[0.0, 4.0]], [0], [np.nan]), [0.5], 'video v'),
    ],
)
def test_bad_input_is_named(truth, found, thresholds, message):
    with pytest.raises(ValueError, match=message):
        mean_average_precision({'v': truth}, {'v': found}, 1, thresholds)


def test_only_evaluated_thresholds_are_averaged():
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
