"""The picture of lengths and numbers of actions."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.image import imread

from mmtal_mts.visualization.annotation_plot import draw_annotation_statistics


def draw(path, lengths, numbers, clip_len=256):
    draw_annotation_statistics(path, lengths, numbers, clip_len, [4, 8], 'title')
    return imread(path)


def test_the_picture_shows_the_numbers(tmp_path):
    rng = np.random.default_rng(0)
    lengths = {'training': rng.uniform(5, 300, 100), '': rng.uniform(5, 300, 9)}
    numbers = {'training': rng.integers(0, 30, 20), '': [1, 2, 500]}
    picture = draw(tmp_path / 'new' / 'a.png', lengths, numbers)
    assert picture.shape[:2] == (520, 1400)
    assert len(np.unique(picture.reshape(-1, picture.shape[-1]), axis=0)) > 10
    other = draw(tmp_path / 'b.png', lengths, {**numbers, '': [1, 2, 3]})
    assert (picture != other).any()


def test_a_single_action_and_a_length_of_zero_can_be_drawn(tmp_path):
    assert draw(tmp_path / 'a.png', {'': [0.0, 12.0]}, {'': [2]}).size


def test_nothing_to_draw_is_said(tmp_path):
    with pytest.raises(ValueError, match='no action to draw'):
        draw(tmp_path / 'a.png', {'': []}, {'': [0]})
