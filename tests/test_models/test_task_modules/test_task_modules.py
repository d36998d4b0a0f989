"""Points, targets, coding of segments, regions and curves of boundaries.

By hand, against loops, and against what AFSD recorded.
"""

import hashlib

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tiny_models import golden, instances
from torch.testing import assert_close

from mmtal_mts.datasets.windows import training_windows
from mmtal_mts.models import (
    BoundaryCurveGenerator,
    BoundaryRegionGenerator,
    SegmentAssigner,
    SegmentCoder,
    SegmentPointGenerator,
)

LENGTHS = (4, 2, 1)
POINTS = SegmentPointGenerator().level_points(LENGTHS, 16)


def test_points_are_cell_centres():
    assert [x.tolist() for x in POINTS] == [[2, 6, 10, 14], [4, 12], [8]]
    assert SegmentPointGenerator().level_points([1], 1)[0].tolist() == [0.5]


def assign(segments, labels, level_ranges=None, num_classes=5):
    gt = instances(segments, labels)
    assigner = SegmentAssigner(level_ranges)
    return assigner.assign(POINTS, gt.segments, gt.labels, num_classes)


def test_shortest_segment_that_holds_the_point_wins_and_ends_count():
    labels, distances = assign([[0, 16], [6, 10], [6, 10]], [3, 1, 2])
    # Points 2 6 10 14 | 4 12 | 8; the first of two equal segments is taken.
    assert labels.tolist() == [3, 1, 1, 3, 3, 3, 1]
    assert distances[[1, 2, 4]].tolist() == [[0, 4], [4, 0], [4, 12]]


def test_level_ranges_are_open_below_and_closed_above():
    ranges = [(0, 4), (4, 8), (8, 100)]
    labels, _ = assign([[0, 16]], [0], ranges)
    # Largest distances: 14 10 10 14 | 12 12 | 8 -> none in range.
    assert labels.tolist() == [5] * 7
    labels, _ = assign([[6, 14]], [0], ranges)
    # 6: (0, 8) no; 10: (4, 4) yes; 14: (8, 0) no | 12: (6, 2) yes | 8: (2, 6) no.
    assert labels.tolist() == [5, 5, 0, 5, 5, 0, 5]
    with pytest.raises(ValueError, match='level_ranges has 1 entries for 3 levels'):
        assign([[0, 16]], [0], [(0, 4)])


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(*[st.integers(0, 64)] * 2, st.integers(0, 4)), max_size=6))
@example([])
@example([(10, 14, 0)])  # no point inside
def test_assignment_against_a_loop(rows):
    segments = [sorted((a / 4, b / 4)) for a, b, _ in rows]
    classes = [row[2] for row in rows]
    labels, distances = assign(segments, classes)
    for p, point in enumerate(torch.cat(POINTS).tolist()):
        inside = [g for g, (a, b) in enumerate(segments) if a <= point <= b]
        best = min(inside, key=lambda g: segments[g][1] - segments[g][0], default=-1)
        assert labels[p] == [*classes, 5][best]
        start, end = [*segments, [point, point]][best]
        assert distances[p].tolist() == [point - start, end - point]


def test_regions_by_hand():
    generator, points = BoundaryRegionGenerator(), torch.tensor([50.0, 5.0])
    distances = torch.tensor([[[10.0, 29.0], [0, 0]]])
    # Start 40, end 79, length 40: 10 frames inside, 4 outside; and at least 1.
    expected = [[[36, 50, 69, 83], [4, 6, 4, 6]]]
    assert generator.frame_regions(points, distances).tolist() == expected
    # Two cells over 64 frames; 64 frames are 2 cells. Cell 0: start = end = 0, one cell
    # each way. Cell 1: start -19, end 1, length 20.
    distances = torch.tensor([[[0.0, 0.0], [640.0, 0.0]]])
    expected = [[[-1, 1, -1, 1], [-21, -14, -4, 3]]]
    assert generator.level_regions(distances, 64).tolist() == expected


def test_equation_13_by_hand():
    point, distances = torch.tensor([10.0]), torch.tensor([[[4.0, 6.0]]])
    decode = SegmentCoder().decode
    # Half the coarse length is 5: start 6 - 2, end 16 - 1.
    segments = decode(point, distances, torch.tensor([[[0.4, -0.2]]]), 99)
    assert_close(segments, torch.tensor([[[4.0, 15.0]]]))
    segments = decode(point, distances, torch.tensor([[[4.0, 4.0]]]), 12)
    assert segments.tolist() == [[[0.0, 12.0]]]  # clamped to the clip


def test_encoding_inverts_decoding():
    coder, points = SegmentCoder(), torch.arange(20.0) + 40
    distances = torch.rand(1, 20, 2) * 30 + 0.1
    target = torch.rand(1, 20, 2) * 30
    offsets = coder.encode(distances, target)
    assert_close(coder.refine(distances, offsets), target)
    segments = coder.decode(points, distances, offsets, 100)
    assert_close((segments - points[:, None]).abs(), target)


def positions(segments, num_frames):
    curves = BoundaryCurveGenerator().curves(segments, num_frames)
    assert curves.shape == (2, num_frames) and curves.dtype == torch.float32
    return [torch.nonzero(curve).flatten().tolist() for curve in curves]


def test_recorded_curves_of_the_first_clips():
    clips = golden('afsd_boundary_curves.json')['first20']
    assert len(clips) == 20
    for clip in clips:
        segments = np.array(clip['annos'])[:, :2].astype(np.float32)
        start, end = positions(torch.from_numpy(segments), 256)
        assert start == clip['start_idx'] and end == clip['end_idx']


ROWS = st.lists(st.tuples(st.floats(-9, 40), st.floats(0, 60)), max_size=4)


@given(ROWS, st.integers(1, 40))
@example([(10.0, 40.0), (60.5, 5.0)], 66)  # halves go to even
@example([], 4)
def test_curves_against_a_loop(rows, num_frames):
    expected = [set(), set()]
    for start, length in rows:
        end = start + length
        half = max((end - start) * 0.1, 2.0) / 2
        for curve, boundary in zip(expected, (start, end), strict=True):
            bounds = (round(boundary - half), round(boundary + half))
            first, last = np.clip(bounds, 0, num_frames - 1).tolist()
            curve.update(range(first, last + 1))
    segments = torch.tensor([[s, s + d] for s, d in rows], dtype=torch.float64)
    found = positions(segments.reshape(-1, 2), num_frames)
    assert found == [sorted(curve) for curve in expected]


@pytest.mark.parametrize(
    'setting', 'val_256_30 val_256_128 val_128_16 test_256_128 val_768_768'.split()
)
def test_curves_of_all_clips_equal_afsd(setting, afsd_thumos14):
    expected = golden('e_split_videos.json')[setting]
    split, *sizes = setting.split('_')
    clip_len, stride = map(int, sizes)
    digest, ones = hashlib.sha256(), np.zeros(2)
    for num_frames, table in afsd_thumos14[split].values():
        sizes = (num_frames, table[:, :2], clip_len, stride)
        for window in training_windows(*sizes, one_based_window=True):
            segments = torch.from_numpy(window.segments)
            curves = BoundaryCurveGenerator().curves(segments, clip_len)
            curves = curves.numpy().astype(np.uint8)
            digest.update(curves.tobytes())
            ones += curves.sum(1)
    assert ones.tolist() == [expected['start_ones'], expected['end_ones']]
    assert digest.hexdigest() == expected['score_sha256']
