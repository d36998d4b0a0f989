"""The matching and the mAP against the official evaluation and slow references."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmtal_mts.evaluation import mean_average_precision
from mmtal_mts.evaluation.functional import mean_ap
from mmtal_mts.evaluation.functional.mean_ap import UNMATCHED, match_detections
from mmtal_mts.structures import Segments, pairwise_tiou

GOLDENS = Path(__file__).parent.parent / 'data' / 'goldens'


def read_truth(database, subset):
    """Ground truth and classes, in order of appearance, as the original reads."""
    videos = {
        name: entry['annotations']
        for name, entry in database.items()
        if entry['subset'] == subset
    }
    labels = [item['label'] for items in videos.values() for item in items]
    classes = list(dict.fromkeys(labels))
    return {name: read(items, classes) for name, items in videos.items()}, classes


def read(items, classes):
    """Segments of a video; detections have scores and may be of no class."""
    index = {name: label for label, name in enumerate(classes)}
    scores = [item['score'] for item in items if 'score' in item]
    return Segments(
        [list(map(float, item['segment'])) for item in items],
        [index.get(item['label'], -1) for item in items],
        scores or None,
    )


def read_detections(results, classes):
    """Detections of a results object."""
    return {video_id: read(items, classes) for video_id, items in results.items()}


def slow_ap(truth, rows, label, threshold):
    """AP of one class and threshold, by the book.

    ``rows`` are (score, video id, start, end) of the class, in order.
    """
    open_segments = {
        video_id: list(map(tuple, t.segments[t.labels == label].tolist()))
        for video_id, t in truth.items()
    }
    positives = sum(len(segments) for segments in open_segments.values())
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
    ap = np.full((len(thresholds), num_classes), np.nan)
    for label in range(num_classes):
        if not any((t.labels == label).any() for t in truth.values()):
            continue
        rows = [
            (score, video_id, *segment)
            for video_id, found in detections.items()
            if video_id in truth and len(own := found[found.labels == label])
            for segment, score in zip(own.segments.tolist(), own.scores, strict=True)
        ]
        for row, threshold in enumerate(thresholds):
            ap[row, label] = slow_ap(truth, rows, label, threshold)
    return ap


def test_edge_cases_equal_the_official_evaluation():
    case = json.loads((GOLDENS / 'd_eval_edge.json').read_text())
    truth, classes = read_truth(case['gt']['database'], 'test')
    assert classes == case['class_order']
    detections = read_detections(case['pred'], classes)
    result = mean_average_precision(truth, detections, len(classes), case['tiou'])
    np.testing.assert_allclose(result.ap, case['ap_tiou_by_class'], atol=1e-12)
    np.testing.assert_allclose(result.mean_ap, case['mAP'], atol=1e-12)
    assert abs(result.average() - case['average_mAP']) < 1e-12
    # v3 is of another subset, v4 unknown; D is not a class of the subset.
    assert result.counts == {
        'videos': 2,
        'segments': 6,
        'detections': 9,
        'unknown_video': 2,
        'unknown_class': 1,
    }


def test_a_reversed_detection_is_a_false_positive():
    # The official evaluation divides 0 by 0 there and counts a match.
    case = json.loads((GOLDENS / 'd_eval_edge.json').read_text())
    truth, classes = read_truth(case['gt']['database'], 'test')
    quirk = case['quirk_reversed']
    case['pred']['v1'].append(quirk['extra_v1'])
    detections = read_detections(case['pred'], classes)
    with np.errstate(all='raise'):
        ap = mean_average_precision(truth, detections, 3, case['tiou']).ap
    slow = slow_mean_ap(truth, detections, 3, case['tiou'])
    np.testing.assert_allclose(ap, slow, atol=1e-12)
    assert (ap[:, 0] < np.array(quirk['ap_tiou_by_class'])[:, 0]).all()


def test_real_ground_truth_equals_the_slow_reference():
    case = json.loads((GOLDENS / 'd_eval_subset.json').read_text())
    classes = len(case['labels'])
    rows, gt = np.array(case['rows']), np.array(case['gt'])
    truth, detections = {}, {}
    for index, video_id in enumerate(case['videos']):
        t, d = gt[gt[:, 0] == index], rows[rows[:, 0] == index]
        truth[video_id] = Segments(t[:, 2:] / 100, t[:, 1])
        detections[video_id] = Segments(d[:, 2:4] / 100, d[:, 1], d[:, 4] / 1e6)
    thresholds = [0.1, 0.3, 0.5, 0.7, 0.95]
    result = mean_average_precision(truth, detections, classes, thresholds)
    slow = slow_mean_ap(truth, detections, classes, thresholds)
    np.testing.assert_allclose(result.ap, slow, atol=1e-12)
    assert 0.1 < result.average() < 0.9
    assert result.average([0.5]) == pytest.approx(np.nanmean(slow[2]), abs=1e-12)


def test_42317_detections_equal_the_official_evaluation():
    expected = json.loads((GOLDENS / 'd_eval_result.json').read_text())
    classes = expected['class_order']
    with np.load(GOLDENS / 'thumos14_afsd.npz') as data:
        numbers, gt = data['gt_videos'], data['gt_rows']
    truth = {
        f'video_test_{number:07d}': Segments(
            gt[gt[:, 0] == index, 2:] / 10, gt[gt[:, 0] == index, 1]
        )
        for index, number in enumerate(numbers)
    }
    with np.load(GOLDENS / 'd_eval_predictions.npz') as data:
        videos, rows = data['videos'], data['rows']
        labels = np.array([classes.index(str(name)) for name in data['labels']])
    detections = {}
    for index, video_id in enumerate(videos):
        d = rows[rows[:, 0] == index]
        detections[str(video_id)] = Segments(
            d[:, 2:4] / 100, labels[d[:, 1]], d[:, 4] / 1e6
        )
    result = mean_average_precision(truth, detections, 20, expected['tiou'])
    np.testing.assert_allclose(result.ap, expected['ap_tiou_by_class'], atol=1e-9)
    np.testing.assert_allclose(result.mean_ap, expected['mAP'], atol=1e-9)
    average = result.average([0.3, 0.4, 0.5, 0.6, 0.7])
    assert abs(average - expected['average_mAP_03_07']) < 1e-9
    assert result.counts['segments'] == expected['n_gt']


@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_random_cases_equal_the_slow_reference(data):
    number = st.integers(0, 9)
    segment = st.tuples(number, number)
    videos = ['a', 'b', 'c']
    truth, detections, scores = {}, {}, list(range(1, 40))
    for video_id in videos:
        real = segment.filter(lambda s: s[0] < s[1])
        gt = data.draw(st.lists(st.tuples(real, st.integers(0, 1)), max_size=4))
        truth[video_id] = Segments([s for s, _ in gt], [k for _, k in gt])
        found = data.draw(st.lists(st.tuples(segment, st.integers(0, 2)), max_size=8))
        picked = [scores.pop(data.draw(st.integers(0, len(scores) - 1))) for _ in found]
        detections[video_id] = Segments(
            [s for s, _ in found], [k for _, k in found], np.array(picked) / 40
        )
    if not any(len(t.labels) for t in truth.values()):
        with pytest.raises(ValueError, match='no segment'):
            mean_average_precision(truth, detections, 3)
        return
    thresholds = (0.2, 0.5, 1.0)
    result = mean_average_precision(truth, detections, 3, thresholds)
    slow = slow_mean_ap(truth, detections, 3, thresholds)
    np.testing.assert_allclose(result.ap, slow, atol=1e-12)


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


def test_bad_input_is_named():
    truth = {'v': ONE}
    for thresholds in ([], [0.0], [1.5], [np.nan]):
        with pytest.raises(ValueError, match='tIoU thresholds'):
            mean_average_precision(truth, {}, 1, thresholds)
    with pytest.raises(ValueError, match='video v.*label outside'):
        mean_average_precision({'v': Segments([[0.0, 4.0]], [3])}, {}, 1)
    with pytest.raises(ValueError, match='video v'):
        nan = Segments([[0.0, 4.0]], [0], [np.nan])
        mean_average_precision(truth, {'v': nan}, 1)
    with pytest.raises(ValueError, match='choose from'):
        mean_average_precision(truth, {}, 1, [0.5]).average([0.6])


THRESHOLDS = np.array([0.1, 0.5, 1.0])


def match_one_by_one(segments, groups, targets, target_groups):
    """The definition: segment of each true positive (M, S)."""
    tiou = pairwise_tiou(segments, targets)
    taken_by = np.full((len(THRESHOLDS), len(segments)), UNMATCHED)
    for m, threshold in enumerate(THRESHOLDS):
        taken = set()
        for s, group in enumerate(groups):
            free = [
                (tiou[s, g], g)
                for g in range(len(targets))
                if target_groups[g] == group and g not in taken
            ]
            if free and max(free)[0] >= threshold:
                taken.add(max(free)[1])
                taken_by[m, s] = max(free)[1]
    return taken_by


def draw_segments(data, max_size):
    # Few values: many equal overlaps, touching, empty and reversed segments.
    number = st.integers(0, 6).map(float)
    pairs = st.lists(st.tuples(number, number, st.integers(0, 2)), max_size=max_size)
    rows = np.array(data.draw(pairs)).reshape(-1, 3)
    return rows[:, :2], rows[:, 2].astype(np.int64)


@pytest.mark.parametrize('chunk', [1, 5, 1000])
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_equals_matching_one_by_one(chunk, data):
    segments, groups = draw_segments(data, 20)
    targets, target_groups = draw_segments(data, 8)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mean_ap, '_CHUNK', chunk)
        found = match_detections(segments, groups, targets, target_groups, THRESHOLDS)
    expected = match_one_by_one(segments, groups, targets, target_groups)
    assert np.array_equal(found, expected)


def test_an_entangled_segment_goes_to_whoever_is_left_without():
    targets = np.array([[0.0, 10.0], [2.0, 12.0]])
    segments = np.array([[2.0, 12.0], [1.0, 11.0], [0.0, 9.0]])
    zeros = np.zeros(3, dtype=np.int64)
    found = match_detections(segments, zeros, targets, zeros[:2], THRESHOLDS)
    # The second overlaps both alike, and only the first target is left.
    both, exact = [1, 0, UNMATCHED], [1, UNMATCHED, UNMATCHED]
    assert found.tolist() == [both, both, exact]


def test_other_groups_do_not_count():
    segment = np.array([[0.0, 1.0]])
    one, two = np.array([1]), np.array([2])
    assert (match_detections(segment, one, segment, two, THRESHOLDS) == UNMATCHED).all()
    assert (match_detections(segment, one, segment, one, THRESHOLDS) == 0).all()
