"""Somebody's own annotation: the files, and the split."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmtal_mts.datasets.own_data import (
    measure_videos,
    split_by_video,
)
from mmtal_mts.utils import UserError


def write_video(path, num_frames, fps=10):
    writer = cv2.VideoWriter(
        str(path), cv2.VideoWriter_fourcc(*'MJPG'), fps, (32, 24), True
    )
    for index in range(num_frames):
        writer.write(np.full((24, 32, 3), 4 * index, np.uint8))
    writer.release()


def test_files_are_found_by_name_or_id_and_measured(tmp_path):
    write_video(tmp_path / 'a.avi', 20)
    (tmp_path / 'sub').mkdir()
    write_video(tmp_path / 'sub' / 'b.avi', 15, fps=5)
    entry = {'annotations': []}
    found = measure_videos({'a': entry, 'sub/b.avi': entry}, str(tmp_path))
    assert found['a']['file'] == 'a.avi'
    assert found['a']['duration'] == pytest.approx(2.0)
    assert found['sub/b.avi']['file'] == 'sub/b.avi'
    assert (found['sub/b.avi']['duration'], found['sub/b.avi']['fps']) == (3.0, 5.0)
    assert entry == {'annotations': []}


def test_missing_and_broken_files_are_named(tmp_path):
    (tmp_path / 'bad.mp4').write_bytes(b'nothing')
    with pytest.raises(UserError, match='1 of 2 videos are missing\n.*none.mp4'):
        measure_videos({'bad': {}, 'none': {}}, str(tmp_path))
    with pytest.raises(UserError, match='1 of 1 videos cannot be read\n.*bad.mp4'):
        measure_videos({'bad': {}}, str(tmp_path))
    with pytest.raises(UserError, match='no such folder'):
        measure_videos({}, str(tmp_path / 'nowhere'))


videos = st.dictionaries(
    st.text('abcdefgh', min_size=1, max_size=3),
    st.lists(st.sampled_from('ABC'), max_size=3),
    min_size=1,
    max_size=12,
)


@settings(max_examples=80, deadline=None)
@given(videos, st.floats(0.05, 0.6), st.integers(0, 5))
def test_each_class_stays_in_training(labels, fraction, seed):
    classes = {label for own in labels.values() for label in own}
    possible = any(
        own
        and all(any(label in labels[o] for o in labels if o != name) for label in own)
        for name, own in labels.items()
    )
    if not possible:
        with pytest.raises(UserError, match='can be held out'):
            split_by_video(labels, fraction, seed)
        return
    chosen = split_by_video(labels, fraction, seed)
    assert chosen == split_by_video(dict(reversed(labels.items())), fraction, seed)
    assert 1 <= len(chosen) <= max(1, round(fraction * len(labels)))
    rest = set(labels) - chosen
    assert {label for name in rest for label in labels[name]} == classes


def test_validation_gets_every_class_if_it_can():
    labels = {f'{label}{n}': [label] for label in 'ABCDE' for n in range(4)}
    for seed in range(5):
        chosen = split_by_video(labels, 0.25, seed)
        assert {name[0] for name in chosen} == set('ABCDE')
