from __future__ import annotations

import numpy as np
import pytest
import torch
from mmaction.datasets.transforms import FormatShape

from mmtal_mts.datasets.transforms import PackTALInputs


def formatted(num_segments=2):
    imgs = [np.full((4, 6, 3), k, dtype=np.uint8) for k in range(5)]
    imgs[1][0, 2] = [7, 8, 9]
    results = dict(
        imgs=imgs,
        num_clips=1,
        clip_len=5,
        gt_segments=np.array([[0, 1.5], [2, 5]], dtype=np.float64)[:num_segments],
        gt_labels=np.array([1, 0])[:num_segments],
        video_id='v',
        window_offset=3,
        sample_fps=10.0,
        unrelated=1,
    )
    return FormatShape('NCTHW')(results)


def test_packs_frames_annotations_and_metainfo():
    packed = PackTALInputs()(formatted())
    inputs, sample = packed['inputs'], packed['data_samples']
    assert inputs.shape == (3, 5, 4, 6) and inputs.dtype == torch.uint8
    assert inputs.is_contiguous()
    assert inputs[:, 1, 0, 2].tolist() == [7, 8, 9]
    assert inputs[0, :, 3, 3].tolist() == [0, 1, 2, 3, 4]
    assert sample.gt_instances.segments.tolist() == [[0, 1.5], [2, 5]]
    assert sample.gt_instances.segments.dtype == torch.float32
    assert sample.gt_instances.labels.tolist() == [1, 0]
    assert sample.gt_instances.labels.dtype == torch.int64
    assert sample.metainfo == dict(
        video_id='v', window_offset=3, sample_fps=10.0, clip_len=5
    )


def test_no_actions():
    sample = PackTALInputs()(formatted(0))['data_samples']
    assert sample.gt_instances.segments.shape == (0, 2)
    assert sample.gt_instances.labels.shape == (0,)


def test_wrong_layout_says_what_to_do():
    results = formatted()
    for imgs in (results['imgs'][0], np.repeat(results['imgs'], 2, axis=0), [1, 2]):
        with pytest.raises(ValueError, match='FormatShape'):
            PackTALInputs()(dict(results, imgs=imgs))
