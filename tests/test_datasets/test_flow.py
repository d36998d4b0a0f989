"""Optical flow of known translations."""

from __future__ import annotations

from functools import partial

import cv2
import mmcv
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmtal_mts.datasets import ArrayReader, LoadClip, VideoReadError
from mmtal_mts.datasets.flow import FLOW_METHODS, build_flow, encode_flow, read_flow
from mmtal_mts.datasets.windows import video_windows

SIDE = 64
MARGIN = 8  # what enters the picture cannot be matched


def texture(dx=0.0, dy=0.0):
    """A smooth picture whose content has moved by (dx, dy) pixels, in closed form."""
    y, x = np.mgrid[:SIDE, :SIDE].astype(float)
    x, y = x - dx, y - dy
    waves = np.sin(0.31 * x + 0.17 * y) + np.sin(0.23 * y - 0.37 * x + 1)
    waves += np.sin(0.53 * x + 0.61 * y + 2) + np.sin(0.11 * x - 0.71 * y + 3)
    return np.rint(127 + 30 * waves).astype(np.uint8)


def inner(flow):
    return flow[MARGIN:-MARGIN, MARGIN:-MARGIN]


@pytest.mark.parametrize('method', FLOW_METHODS)
@pytest.mark.parametrize('dx, dy', [(2.0, 0.0), (0.0, -3.0), (-1.5, 2.25)])
def test_translation_is_found_with_its_sign_and_axes(method, dx, dy):
    flow = build_flow(method)(texture(), texture(dx, dy))
    assert flow.shape == (SIDE, SIDE, 2)
    error = np.abs(inner(flow) - (dx, dy))
    assert np.median(error) < 0.05
    assert np.quantile(error, 0.95) < 0.25


def moving(count):
    images = [texture(3.0 * k, -2.0 * k) for k in range(count)]
    frames = [cv2.cvtColor(image, cv2.COLOR_GRAY2RGB) for image in images]
    return ArrayReader(frames, 10)


def loaded(reader, **settings):
    """The fields of all windows, by their offset."""
    settings = dict(modality='Flow', flow_method='dis', **settings)
    items = map(LoadClip(), video_windows(reader, 'v', **settings))
    return {item['window_offset']: item['imgs'] for item in items}


def test_a_field_is_the_movement_to_the_next_frame():
    read = partial(read_flow, moving(3), mmcv.rgb2gray)
    for field in read(np.arange(3), 0, 3):
        assert field.dtype == np.uint8 and field.shape == (SIDE, SIDE, 2)
        levels = np.median(inner(field), axis=(0, 1))
        # (v + 20) * 255 / 40 of v = 3 and -2
        np.testing.assert_array_equal(levels, [147, 115])
    # What the video does not hold any more is left out.
    assert len(read(np.arange(4), 1, 2)) == 1


def test_the_last_field_is_repeated_in_any_window():
    fields = loaded(moving(5), clip_len=2, window_stride=1)
    assert sorted(fields) == [0, 1, 2, 3]
    np.testing.assert_array_equal(fields[3][0], fields[3][1])
    np.testing.assert_array_equal(fields[2][1], fields[3][0])
    lone = loaded(moving(5), clip_len=1, window_stride=4)
    np.testing.assert_array_equal(lone[4][0], fields[3][0])


def test_a_single_frame_does_not_move():
    reader = ArrayReader(np.zeros((1, 20, 30, 3), dtype=np.uint8), 10)
    (field, filler) = loaded(reader, clip_len=2)[0]
    assert field.shape == (20, 30, 2) and (field == 128).all()
    assert (filler == 127).all()


def test_frames_that_change_their_size_need_a_size():
    frames = [np.zeros((size, 50, 3), dtype=np.uint8) for size in (40, 60)]
    with pytest.raises(VideoReadError, match='flow needs frames of one size'):
        loaded(ArrayReader(frames, 10), clip_len=2)
    scaled = loaded(ArrayReader(frames, 10), clip_len=2, frame_size=32)
    assert scaled[0][0].shape == (32, 32, 2)


@settings(max_examples=60, deadline=None)
@given(st.floats(-30, 30, allow_nan=False), st.sampled_from([5.0, 20.0, 32.0]))
def test_encoding_is_exact_to_half_a_level_and_cuts_off(value, bound):
    levels = encode_flow(np.full((1, 2), value, dtype=np.float32), bound)
    back = levels * (2 * bound / 255) - bound
    wanted = np.clip(value, -bound, bound)
    assert np.abs(back - wanted).max() <= bound / 255 + 1e-5
    if abs(value) >= bound:
        assert set(levels.ravel().tolist()) == {255 if value > 0 else 0}


def test_methods_that_are_unknown_or_not_there(monkeypatch):
    with pytest.raises(ValueError, match="'tvl1'.*got 'raft'"):
        build_flow('raft')
    monkeypatch.delattr(cv2, 'optflow')
    with pytest.raises(ImportError, match='check_env.py --fix'):
        build_flow('tvl1')
    build_flow('dis')
