"""From the predictions of windows to the detections of a video."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from ...ops import soft_nms_1d
from ...structures import Segments

_SETTINGS = ('score_thr', 'nms', 'max_per_video', 'clamp', 'fusion')


def merge_windows(
    windows: Iterable[Segments], duration_s: float | None, test_cfg: Mapping[str, Any]
) -> Segments:
    """Joins the windows of one video and removes what was found several times.

    Args:
        windows: Detections of each window, in seconds of the video.
        duration_s: Length of the video. None: ends are not cut.
        test_cfg: ``model.test_cfg``, see :func:`check_test_cfg`.

    Returns:
        By descending score; equal scores by label, start and end.
    """
    check_test_cfg(test_cfg)
    found = Segments.concatenate(windows)
    if test_cfg.get('clamp', True):
        limit = np.inf if duration_s is None else duration_s
        segments = np.clip(found.segments, 0.0, limit)
        found = replace(found, segments=segments)[segments[:, 1] > segments[:, 0]]
    if test_cfg.get('nms') is not None:
        segments, scores, kept = soft_nms_1d(
            found.segments, found.scores, found.labels, **test_cfg['nms']
        )
        found = Segments(segments, found.labels[kept], scores)
    start, end = found.segments.T
    order = np.lexsort((end, start, found.labels, -found.scores))
    return found[order[: test_cfg.get('max_per_video')]]


def join_videos(videos: Mapping[str, Segments]) -> tuple[Segments, np.ndarray]:
    """All segments of several videos, and the position (S,) of the video of each."""
    counts = np.array([len(found) for found in videos.values()], dtype=int)
    together = Segments.concatenate(videos.values())
    return together, np.repeat(np.arange(len(videos)), counts)


def check_test_cfg(test_cfg: Mapping[str, Any]) -> None:
    """Refuses unusable settings of ``model.test_cfg``.

    ====================  ========================================================
    ``score_thr``         lowest score that the head returns (not used here)
    ``fusion``            how two networks are joined (not used here)
    ``nms``               arguments of :func:`mmtal_mts.ops.soft_nms_1d`, which runs
                          for each class by itself; None keeps every detection
    ``max_per_video``     keep only that many detections, the best; None keeps all
    ``clamp``             cut segments to the video and drop those of which nothing
                          is left; True by default
    ====================  ========================================================

    Args:
        test_cfg: The settings.

    Raises:
        ValueError: A setting is unknown or unusable.
    """
    unknown = sorted(set(test_cfg) - set(_SETTINGS))
    if unknown:
        text = f'model.test_cfg has unknown setting(s) {unknown}'
        raise ValueError(f'{text}; choose from {list(_SETTINGS)}')
    limit, nms = test_cfg.get('max_per_video'), test_cfg.get('nms')
    if limit is not None and limit < 1:
        raise ValueError(f'model.test_cfg.max_per_video={limit} must be >= 1 or None')
    if nms is not None:
        try:
            soft_nms_1d(np.zeros((0, 2)), np.zeros(0), **nms)
        except (TypeError, ValueError) as error:
            raise ValueError(f'model.test_cfg.nms={dict(nms)}: {error}') from error


def predicted_segments(sample: Any) -> Segments:
    """What the model predicted in one window.

    Args:
        sample: Data sample or its dictionary, with ``video_id`` and ``pred_instances``
            (``segments`` (S, 2) in seconds of the video, ``scores`` (S,) and
            ``labels`` (S,)). With ``broken=True``, when the video could not be read,
            predictions are ignored.

    Returns:
        Its detections, on the CPU.

    Raises:
        ValueError: Something is missing or is not a finite number.
    """
    video_id = sample.get('video_id')
    if video_id is None:
        raise ValueError(
            'a data sample has no video_id; PackTALInputs must come last in the '
            'test pipeline and keep it'
        )
    if sample.get('broken', False):
        return Segments.empty(with_scores=True)
    place = f'video {video_id}, window at sampled frame {sample.get("window_offset")}'
    predicted = sample.get('pred_instances')
    if predicted is None:
        raise ValueError(f"{place}: no pred_instances; run the model in mode 'predict'")
    try:
        columns = (predicted[key] for key in ('segments', 'labels', 'scores'))
        # numpy knows neither other devices nor bfloat16.
        found = Segments(
            *(
                column.detach().cpu().double() if torch.is_tensor(column) else column
                for column in columns
            )
        )
    except (KeyError, AttributeError, ValueError) as error:
        raise ValueError(f'{place}: unusable pred_instances: {error}') from error
    if not (np.isfinite(found.segments).all() and np.isfinite(found.scores).all()):
        raise ValueError(
            f'{place}: the predictions hold NaN or infinite numbers; the checkpoint '
            'may come from a training that diverged'
        )
    return found
