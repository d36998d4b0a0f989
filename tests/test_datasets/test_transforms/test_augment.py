from __future__ import annotations

import numpy as np
import pytest

from mmtal_mts.datasets.transforms import FlipClip, ShuffleFrames

CLASSES = ('left', 'right', 'spin')


def clip(modality='RGB', channels=3):
    rng = np.random.default_rng(0)
    return dict(
        imgs=[rng.integers(0, 256, (4, 6, channels), dtype=np.uint8) for _ in range(5)],
        modality=modality,
        gt_labels=np.array([0, 2, 1, 0]),
        classes=CLASSES,
    )


@pytest.mark.parametrize(
    'label_map', [{'left': 'right'}, {0: 1}, {'left': 'right', 'right': 'left'}]
)
def test_flip_mirrors_frames_and_exchanges_labels(label_map):
    before = clip()
    after = FlipClip(1.0, label_map)(clip())
    assert after['flip'] is True
    for old, new in zip(before['imgs'], after['imgs'], strict=False):
        np.testing.assert_array_equal(new, old[:, ::-1])
        assert new.flags['C_CONTIGUOUS']
    np.testing.assert_array_equal(after['gt_labels'], [1, 2, 0, 1])


def test_flip_twice_is_the_identity():
    flip = FlipClip(1.0, {'left': 'right'})
    after = flip(flip(clip('Flow', 2)))
    np.testing.assert_array_equal(after['imgs'], clip('Flow', 2)['imgs'])
    np.testing.assert_array_equal(after['gt_labels'], clip()['gt_labels'])


def test_flip_inverts_horizontal_flow():
    before = clip('Flow', 2)
    after = FlipClip(1.0)(clip('Flow', 2))
    for old, new in zip(before['imgs'], after['imgs'], strict=False):
        np.testing.assert_array_equal(new[..., 0], 255 - old[:, ::-1, 0])
        np.testing.assert_array_equal(new[..., 1], old[:, ::-1, 1])
    plain = FlipClip(1.0, negate_flow_x=False)(clip('Flow', 2))
    np.testing.assert_array_equal(plain['imgs'][0], before['imgs'][0][:, ::-1])


def test_flip_ratio():
    after = FlipClip(0.0, {'left': 'right'})(clip())
    np.testing.assert_array_equal(after['imgs'], clip()['imgs'])
    np.testing.assert_array_equal(after['gt_labels'], clip()['gt_labels'])
    np.random.seed(0)
    flips = [FlipClip(0.5)(clip())['flip'] for _ in range(200)]
    assert 70 < sum(flips) < 130
    empty = dict(clip(), gt_labels=np.zeros(0, dtype=np.int64))
    assert FlipClip(1.0, {'left': 'right'})(empty)['gt_labels'].shape == (0,)


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        ((1.0, {'left': 'up'}), "'up'"),
        ((1.0, {0: 7}), '7'),
        ((1.0, {'left': 'right', 'right': 'spin'}), 'more than one'),
        ((1.5,), 'flip_ratio'),
    ],
)
def test_unusable_arguments_of_a_flip(arguments, message):
    with pytest.raises(ValueError, match=message):
        FlipClip(*arguments)(clip())


def test_shuffle_keeps_the_frames_but_not_their_order():
    imgs = [np.full((2, 2, 3), i, dtype=np.uint8) for i in range(50)]
    np.random.seed(0)
    after = ShuffleFrames()(dict(imgs=list(imgs)))['imgs']
    order = [int(img[0, 0, 0]) for img in after]
    assert sorted(order) == list(range(50)) and order != list(range(50))
