from __future__ import annotations

import numpy as np
import pytest

from mmtal_mts.datasets.transforms import FlipClip, ShuffleFrames

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
