"""What the evaluation keeps of a data sample."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from mmtal_mts.evaluation.functional.detections import Detections


def window_detections(sample: Any) -> dict:
    """What one data sample says about its window.

    Args:
        sample (dict | BaseDataElement): See :class:`.TALMetric`.

    Returns:
        dict: ``video_id``, ``window_offset``, ``duration``, ``broken`` and
        ``detections``.

    Raises:
        ValueError: If something is missing or is not a finite number.
    """
    video_id = sample.get('video_id')
    if video_id is None:
        raise ValueError(
            'a data sample has no video_id; PackTALInputs must come last in the '
            'test pipeline and keep it'
        )
    offset = sample.get('window_offset')
    where = f'video {video_id}, window at sampled frame {offset}'
    broken = bool(sample.get('broken', False))
    found = Detections.concatenate([])
    if not broken:
        predicted = sample.get('pred_instances')
        if predicted is None:
            raise ValueError(
                f"{where}: no pred_instances; run the model in mode 'predict'"
            )
        try:
            found = Detections(
                *(_to_numpy(predicted[k]) for k in ('segments', 'scores', 'labels'))
            )
        except (KeyError, AttributeError, ValueError) as error:
            raise ValueError(f'{where}: unusable pred_instances: {error}') from error
        if not (np.isfinite(found.segments).all() and np.isfinite(found.scores).all()):
            raise ValueError(
                f'{where}: the predictions hold NaN or infinite numbers; the '
                'checkpoint may come from a training that diverged'
            )
    duration = sample.get('duration')
    return dict(
        video_id=str(video_id),
        window_offset=0 if offset is None else int(offset),
        duration=None if duration is None else float(duration),
        broken=broken,
        detections=found,
    )


def _to_numpy(value: Any) -> np.ndarray:
    """A tensor on any device, an array or a list, as an array."""
    if isinstance(value, torch.Tensor):
        value = value.detach().cpu()
        # numpy has no bfloat16
        return value.double().numpy() if value.is_floating_point() else value.numpy()
    return np.asarray(value)
