"""Named protocols and how they differ from a ground truth."""

from __future__ import annotations

from mmtal_mts.evaluation.protocols import PROTOCOLS


def test_counts_of_the_published_numbers_are_compared():
    afsd = PROTOCOLS['thumos14-afsd']
    assert len(afsd.exclude_videos) == 3
    assert afsd.differences(210, 3311) == ''
    text = afsd.differences(210, 3310)
    assert '3310 segments in 210 videos' in text
    assert '3311 in 210' in text


def test_a_protocol_without_counts_has_nothing_to_compare():
    assert PROTOCOLS['activitynet'].differences(1, 1) == ''
    assert len(PROTOCOLS['activitynet'].tiou_thresholds) == 10
