"""Packing a window for the model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from mmaction.registry import TRANSFORMS
from mmaction.structures import ActionDataSample
from mmcv.transforms import BaseTransform
from mmengine.structures import InstanceData

META_KEYS = (
    *('video_id', 'window_offset', 'sample_fps', 'num_sampled_frames', 'duration'),
    *('clip_len', 'source', 'broken', 'consistency', 'video_scores'),
)
"""What of a window becomes metainfo of its data sample."""


@TRANSFORMS.register_module()
@dataclass(eq=False)
class PackTALInputs(BaseTransform):
    """Packs the frames, or features, and annotations of one window.

    Required Keys:

    - imgs ((1, C, T, H, W) array, as FormatShape('NCTHW') leaves it), or features
      ((C, T) float32 array, as LoadFeatures leaves it)
    - gt_segments, gt_labels
    - those named in ``meta_keys``; missing ones are left out

    Args:
        meta_keys: Keys that become metainfo of the data sample.
    """

    meta_keys: Sequence[str] = META_KEYS

    def transform(self, results: dict) -> dict:
        """Packs one window.

        Returns:
            ``inputs`` (C, T, H, W) uint8 tensor, float32 where LoadClip padded the
            window so and (C, T) of features, and
            ``data_samples`` with ``gt_instances`` (``segments`` (G, 2) float32 sampled
            frames of the window, ``labels`` (G,) int64) and the metainfo.

        Raises:
            ValueError: If the frames are not one clip in NCTHW layout.
        """
        inputs = results.get('features')
        if inputs is None:
            imgs = results['imgs']
            if not isinstance(imgs, np.ndarray) or imgs.ndim != 5 or len(imgs) != 1:
                found = getattr(imgs, 'shape', type(imgs).__name__)
                raise ValueError(
                    f'PackTALInputs needs frames of shape (1, C, T, H, W), got {found}'
                    "; put dict(type='FormatShape', input_format='NCTHW') before it "
                    'and use one crop per window'
                )
            inputs = imgs[0]
        segments = np.asarray(results['gt_segments'], dtype=np.float32).reshape(-1, 2)
        labels = np.asarray(results['gt_labels'], dtype=np.int64).reshape(-1)
        metainfo = {key: results[key] for key in self.meta_keys if key in results}
        data_sample = ActionDataSample(metainfo=metainfo)
        data_sample.gt_instances = InstanceData(
            segments=torch.from_numpy(segments), labels=torch.from_numpy(labels)
        )
        return dict(
            inputs=torch.from_numpy(np.ascontiguousarray(inputs)),
            data_samples=data_sample,
        )
