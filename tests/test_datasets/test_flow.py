"""Optical flow of known translations."""

from __future__ import annotations

import cv2
import mmcv
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmtal_mts.datasets import ArrayReader, LoadClip, VideoReadError, flow
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


def inner(field):
    return field[MARGIN:-MARGIN, MARGIN:-MARGIN]


@pytest.mark.parametrize('method', FLOW_METHODS)
@pytest.mark.parametrize('dx, dy', [(2.0, 0.0), (0.0, -3.0), (-1.5, 2.25)])
def test_translation_is_found_with_its_sign_and_axes(method, dx, dy):
    field = build_flow(method)(texture(), texture(dx, dy))
    assert field.shape == (SIDE, SIDE, 2)
    error = np.abs(inner(field) - (dx, dy))
    assert np.median(error) < 0.05
    assert np.quantile(error, 0.95) < 0.25


def moving(count):
    images = np.stack([texture(3.0 * k, -2.0 * k) for k in range(count)])
    return ArrayReader(images[..., None].repeat(3, axis=3), 10)


def loaded(reader, **more):
    """The fields of all windows, by their offset."""
    windows = video_windows(reader, 'v', modality='Flow', flow_method='dis', **more)
    return {item['window_offset']: item['imgs'] for item in map(LoadClip(), windows)}


def test_a_field_is_the_movement_to_the_next_frame_and_computed_once(monkeypatch):
    computed, estimate = [], build_flow('dis')
    monkeypatch.setattr(
        flow, 'build_flow', lambda _: lambda *x: computed.append(0) or estimate(*x)
    )
    fields = loaded(moving(5), clip_len=2, window_stride=1)
    assert sorted(fields) == [0, 1, 2, 3] and len(computed) == 4
    for field in sum(fields.values(), []):
        assert field.dtype == np.uint8 and field.shape == (SIDE, SIDE, 2)
        # (v + 20) * 255 / 40 of v = 3 and -2
        assert np.median(inner(field), axis=(0, 1)).tolist() == [147, 115]
    # The last field is repeated in any window.
    np.testing.assert_array_equal(fields[3][0], fields[3][1])
    np.testing.assert_array_equal(fields[2][1], fields[3][0])
    lone = loaded(moving(5), clip_len=1, window_stride=4)
    np.testing.assert_array_equal(lone[4][0], fields[3][0])
    # What the video does not hold any more is left out.
    assert len(read_flow(moving(3), mmcv.rgb2gray, np.arange(4), 1, 2)) == 1


def test_a_single_frame_does_not_move():
    reader = ArrayReader(np.zeros((1, 20, 30, 3), dtype=np.uint8), 10)
    (field, filler) = loaded(reader, clip_len=2)[0]
    assert field.shape == (20, 30, 2) and (field == 128).all()
    assert (filler == 127.5).all()


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
