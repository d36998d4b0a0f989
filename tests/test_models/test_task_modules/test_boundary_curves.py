"""Boundary curves against a loop over Python's rounding and AFSD's recorded ones."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mmtal_mts.datasets.windows import training_windows
from mmtal_mts.models import BoundaryCurveGenerator

GOLDENS = Path(__file__).parents[2] / 'data' / 'goldens'


def positions(segments, num_frames):
    curves = BoundaryCurveGenerator().curves(segments, num_frames)
    assert curves.shape == (2, num_frames) and curves.dtype == torch.float32
    return [torch.nonzero(curve).flatten().tolist() for curve in curves]


def test_recorded_curves_of_the_first_clips():
    clips = json.loads((GOLDENS / 'afsd_boundary_curves.json').read_text())['first20']
    assert len(clips) == 20
    for clip in clips:
        segments = np.array(clip['annos'])[:, :2].astype(np.float32)
        start, end = positions(torch.from_numpy(segments), 256)
        assert start == clip['start_idx'] and end == clip['end_idx']


def test_by_hand():
    # 40 long: 4 around each boundary; 5 long: 2 is the least; halves go to even.
    start, end = positions(torch.tensor([[10.0, 50.0], [60.5, 65.5]]), 66)
    assert start == [8, 9, 10, 11, 12, 60, 61, 62]
    assert end == [48, 49, 50, 51, 52, 64, 65]
    assert positions(torch.zeros(0, 2), 4) == [[], []]


@given(
    st.lists(st.tuples(st.floats(-9, 40), st.floats(0, 60)), max_size=4),
    st.integers(1, 40),
)
def test_against_a_loop(rows, num_frames):
    expected = [set(), set()]
    for start, length in rows:
        end = start + length
        half = max((end - start) * 0.1, 2.0) / 2
        for curve, boundary in zip(expected, (start, end), strict=True):
            first = min(max(round(boundary - half), 0), num_frames - 1)
            last = min(max(round(boundary + half), 0), num_frames - 1)
            curve.update(range(first, last + 1))
    segments = torch.tensor([[s, s + d] for s, d in rows], dtype=torch.float64)
    found = positions(segments.reshape(-1, 2), num_frames)
    assert found == [sorted(curve) for curve in expected]


@pytest.mark.parametrize(
    'setting',
    ['val_256_30', 'val_256_128', 'val_128_16', 'test_256_128', 'val_768_768'],
)
def test_curves_of_all_clips_equal_afsd(setting, afsd_thumos14):
    expected = json.loads((GOLDENS / 'e_split_videos.json').read_text())[setting]
    split, clip_len, stride = setting.split('_')
    digest, ones = hashlib.sha256(), np.zeros(2)
    generator = BoundaryCurveGenerator()
    for num_frames, table in afsd_thumos14[split].values():
        for window in training_windows(
            num_frames,
            table[:, :2],
            int(clip_len),
            int(stride),
            one_based_window=True,
        ):
            curves = generator.curves(torch.from_numpy(window.segments), int(clip_len))
            curves = curves.numpy().astype(np.uint8)
            digest.update(curves.tobytes())
            ones += curves.sum(1)
    assert ones.tolist() == [expected['start_ones'], expected['end_ones']]
    assert digest.hexdigest() == expected['score_sha256']
