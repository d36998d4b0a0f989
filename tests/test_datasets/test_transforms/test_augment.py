from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmtal_mts.datasets.transforms import CutInsertBackground, FlipClip, ShuffleFrames
from mmtal_mts.datasets.transforms.augment import (
    _background_regions,
    _draw_cut,
    _insert,
)

SWAP = {'left': 'right'}


def clip(modality='RGB', channels=3):
    rng = np.random.default_rng(0)
    return dict(
        imgs=[rng.integers(0, 256, (4, 6, channels), dtype=np.uint8) for _ in range(5)],
        modality=modality,
        gt_labels=np.array([0, 2, 1, 0]),
        classes=('left', 'right', 'spin'),
    )


@pytest.mark.parametrize('label_map', [SWAP, {0: 1}, {**SWAP, 'right': 'left'}])
def test_flip_mirrors_frames_and_exchanges_labels(label_map):
    after = FlipClip(1.0, label_map)(clip())
    assert after['flip'] is True
    for old, new in zip(clip()['imgs'], after['imgs'], strict=True):
        np.testing.assert_array_equal(new, old[:, ::-1])
        assert new.flags['C_CONTIGUOUS']
    np.testing.assert_array_equal(after['gt_labels'], [1, 2, 0, 1])


@pytest.mark.parametrize(('ratio', 'kind'), [(0.0, ('RGB', 3)), (1.0, ('Flow', 2))])
def test_no_flip_and_two_flips_change_nothing(ratio, kind):
    flip = FlipClip(ratio, SWAP)
    after = flip(flip(clip(*kind)))
    np.testing.assert_array_equal(after['imgs'], clip(*kind)['imgs'])
    np.testing.assert_array_equal(after['gt_labels'], clip()['gt_labels'])


def test_flip_inverts_horizontal_flow():
    before = np.stack(clip('Flow', 2)['imgs'])[:, :, ::-1]
    plain = FlipClip(1.0, negate_flow_x=False)(clip('Flow', 2))['imgs']
    np.testing.assert_array_equal(plain, before)
    after = np.stack(FlipClip(1.0)(clip('Flow', 2))['imgs'])
    np.testing.assert_array_equal(after[..., 0], 255 - before[..., 0])
    np.testing.assert_array_equal(after[..., 1], before[..., 1])


def test_flip_ratio():
    np.random.seed(0)
    flips = [FlipClip(0.5)(clip())['flip'] for _ in range(200)]
    assert 70 < sum(flips) < 130
    empty = dict(clip(), gt_labels=np.zeros(0, dtype=np.int64))
    assert FlipClip(1.0, SWAP)(empty)['gt_labels'].shape == (0,)


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        ((1.0, {'left': 'up'}), "'up'"),
        ((1.0, {0: 7}), '7'),
        ((1.0, {**SWAP, 'right': 'spin'}), 'more than one'),
        ((1.5,), 'flip_ratio'),
    ],
)
def test_unusable_arguments_of_a_flip(arguments, message):
    with pytest.raises(ValueError, match=message):
        FlipClip(*arguments)(clip())


def test_shuffle_keeps_the_frames_but_not_their_order():
    np.random.seed(0)
    imgs = [np.full((2, 2, 3), i, dtype=np.uint8) for i in range(50)]
    order = [int(img[0, 0, 0]) for img in ShuffleFrames()(dict(imgs=imgs))['imgs']]
    assert sorted(order) == list(range(50)) and order != list(range(50))


# Background that is cut into an action: recorded cases and invariants

FILE = Path(__file__).parents[2] / 'data' / 'goldens' / 'e_ssl_augment.json'
GOLDEN = json.loads(FILE.read_text())
CLIP_LEN = GOLDEN['clip_length']


def draw(segments, length, clip_len=CLIP_LEN):
    found = _draw_cut(segments, length, clip_len)
    return found and _insert(*found)


def check_recorded(found, case):
    np.testing.assert_array_equal(found['frame_order'], case['frame_map'])
    expected = np.array(case['new_annos'], dtype=np.float32)
    np.testing.assert_array_equal(found['segments'], expected)


def test_recorded_cases_are_possible_draws(monkeypatch):
    num_defects = 0
    for case in GOLDEN['cases']:
        segments, length = np.array(case['annos'])[:, :2], case['th']
        if not case['flag']:
            assert draw(segments, length) is None
            continue
        action, cut, background, first = case['choices']
        places = math.ceil(action[0]) + cut, math.ceil(background[0]) + first
        check_recorded(_insert(action[:2], *places, length, CLIP_LEN), case)
        regions = _background_regions(segments, CLIP_LEN)
        regions = [r for r in regions if math.floor(r[1]) - math.ceil(r[0]) > length]
        if tuple(background) not in regions:
            # The original takes the rest of an action that ends with the clip for one.
            assert [background[0], CLIP_LEN] in segments.tolist()
            num_defects += 1
            continue
        actions = [s for s in segments.tolist() if s[1] - s[0] > 2 * length]
        indices = actions.index(action[:2]), regions.index(tuple(background))
        draws = [indices[0], cut, indices[1], first]

        def randint(low, high=None, draws=draws):
            value = draws.pop(0)
            assert 0 <= value < low if high is None else low <= value < high
            return value

        monkeypatch.setattr(np.random, 'randint', randint)
        check_recorded(draw(segments, length), case)
        monkeypatch.undo()
    assert num_defects == 3


@pytest.mark.parametrize(
    ('places', 'order', 'parts'),
    [
        ((2.5, 9.5, 5, 12, 3), '0 1 2 3 4 12 13 14 5 6 7 8 9', [2.5, 5, 8, 12.5, 6, 7]),
        ((6.5, 13.5, 10, 1, 3), '0 4 5 6 7 8 9 1 2 3', [3.5, 7, 10, 13.5, 8, 9]),
        # Background that starts where the action ends lies behind it; the original
        # takes it for background in front of the action.
        ((2.0, 8.0, 5, 8, 2), '0 1 2 3 4 8 9 5 6 7', [2, 5, 7, 10, 6, 6]),
    ],
)
def test_background_after_and_before_the_action(places, order, parts):
    start, end, *places = places
    found = _insert((start, end), *places, 16)
    moved = [int(frame) for frame in order.split()]
    rest = [frame for frame in range(16) if frame not in moved]
    assert found['frame_order'].tolist() == moved + rest
    assert found['segments'].ravel().tolist() == parts


def test_background_regions():
    segments = np.array([[10.0, 20.0], [15.0, 18.0], [40.0, 63.0]])
    # What overlapping actions leave between their ends is no background.
    assert _background_regions(segments, 64) == [(0, 10), (20, 40)]
    assert _background_regions(np.array([[0.0, 5.0]]), 8) == [(5, 7)]


@given(
    st.lists(st.tuples(st.floats(0, 50), st.floats(1, 40)), min_size=1, max_size=4),
    st.integers(0, 12),
    st.integers(0, 2**31 - 1),
)
def test_frames_are_permuted_and_the_parts_keep_their_frames(rows, length, seed):
    clip_len = 64
    segments = np.array([[s, min(s + d, clip_len)] for s, d in rows])
    np.random.seed(seed)
    found = draw(segments, length, clip_len)
    if found is None:
        return
    assert sorted(found['frame_order']) == list(range(clip_len))
    (s1, e1), (s2, e2), (s3, e3) = found['segments'].tolist()
    assert 0 <= s1 < e1 and e1 + length == s2 < e2 <= clip_len
    assert (s3, e3) == (e1 + 1, s2 - 1)
    # The action in one piece again.
    whole = (e1 - s1) + (e2 - s2)
    assert np.isclose(segments[:, 1] - segments[:, 0], whole, atol=1e-3).any()
    # What was inserted comes from no action.
    moved = found['frame_order'][int(e1) : int(s2)]
    for start, end in segments:
        assert not ((moved > start) & (moved < end)).any()


def stretch(segments, divisor=1, **extra):
    """The frames between the parts of the action, and what the model needs."""
    segments = np.array(segments, np.float32).reshape(-1, 2)
    window = dict(gt_segments=segments, clip_len=64, **extra)
    found = CutInsertBackground(divisor)(window).get('consistency')
    return found and (found['segments'][1, 0] - found['segments'][0, 1], found)


def test_transform_adds_what_the_model_needs():
    # A quarter of 20, rounded down.
    length, found = stretch([10.0, 30.5], divisor=4)
    assert length == 5 and found['frame_order'].dtype == np.int64
    segments = found['segments']
    assert segments.shape == (3, 2) and segments.dtype == np.float32
    # The shortest action of the video counts.
    assert stretch([10.0, 30.0], min_segment_f=4.5)[0] == 5
    cases = (1, 6.2), (1, 300.0), (4, 11.9), (4, 3.9)
    found = [CutInsertBackground(d)._stretch_length(s, 256) for d, s in cases]
    assert found == [7, 256, 2, 0]
    # No action; none of twice the shortest length; no background; all too short.
    for segments in ([], [[10, 30]], [[0, 64]], [[10, 11], [11, 12]]):
        assert stretch(segments) is None
    with pytest.raises(ValueError, match='divisor'):
        CutInsertBackground(divisor=0)
