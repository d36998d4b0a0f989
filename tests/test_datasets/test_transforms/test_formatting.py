from __future__ import annotations

import numpy as np
import pytest
import torch
from mmaction.datasets.transforms import FormatShape

from mmtal_mts.datasets.transforms import PackTALInputs

META = dict(video_id='v', window_offset=3, sample_fps=10.0, clip_len=5)


def formatted(num_segments=2):
    imgs = [np.full((4, 6, 3), k, dtype=np.uint8) for k in range(5)]
    imgs[1][0, 2] = [7, 8, 9]
    segments, labels = np.array([[0, 1.5], [2, 5]]), np.array([1, 0])
    results = dict(
        **dict(imgs=imgs, num_clips=1, unrelated=1, **META),
        gt_segments=segments[:num_segments],
        gt_labels=labels[:num_segments],
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
    assert sample.metainfo == META
    empty = PackTALInputs()(formatted(0))['data_samples'].gt_instances
    assert (empty.segments.shape, empty.labels.shape) == ((0, 2), (0,))


def test_wrong_layout_says_what_to_do():
    results = formatted()
    for imgs in (results['imgs'][0], np.repeat(results['imgs'], 2, axis=0), [1, 2]):
        with pytest.raises(ValueError, match='FormatShape'):
            PackTALInputs()(dict(results, imgs=imgs))
