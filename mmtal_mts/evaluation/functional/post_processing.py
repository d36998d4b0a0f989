"""From the predictions of windows to the detections of a video."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import torch

from ...ops import soft_nms_1d
from ...structures import Segments

_SETTINGS = ('score_thr', 'nms', 'max_per_video', 'clamp', 'fusion')


class VideoWindows(NamedTuple):
    """What was predicted in the windows of one video.

    Attributes:
        duration_s: Length of the video; None where it is not known.
        windows: Detections of each window, in seconds of the video.
    """

    duration_s: float | None
    windows: list[Segments]


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
    video = VideoWindows(duration_s, list(windows))
    return merge_videos({'': video}, test_cfg)['']


def merge_videos(
    videos: Mapping[str, VideoWindows], test_cfg: Mapping[str, Any]
) -> dict[str, Segments]:
    """:func:`merge_windows` of several videos, in one pass of the suppression.

    Args:
        videos: By video id.
        test_cfg: ``model.test_cfg``, see :func:`check_test_cfg`.

    Returns:
        Detections by video id.
    """
    check_test_cfg(test_cfg)
    merged = [Segments.concatenate(video.windows) for video in videos.values()]
    if test_cfg.get('clamp', True):
        durations = [video.duration_s for video in videos.values()]
        merged = [_clamp(*pair) for pair in zip(merged, durations, strict=True)]
    if test_cfg.get('nms') is not None:
        merged = _suppress(merged, test_cfg['nms'])
    best = {}
    for name, found in zip(videos, merged, strict=True):
        start, end = found.segments.T
        order = np.lexsort((end, start, found.labels, -found.scores))
        best[name] = found[order[: test_cfg.get('max_per_video')]]
    return best


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
        raise ValueError(
            f'model.test_cfg has unknown setting(s) {unknown}; choose from '
            f'{list(_SETTINGS)}'
        )
    limit = test_cfg.get('max_per_video')
    if limit is not None and limit < 1:
        raise ValueError(
            f'model.test_cfg.max_per_video must be >= 1 or None, got {limit}'
        )
    nms = test_cfg.get('nms')
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
        found = Segments(
            *(_to_numpy(predicted[key]) for key in ('segments', 'labels', 'scores'))
        )
    except (KeyError, AttributeError, ValueError) as error:
        raise ValueError(f'{place}: unusable pred_instances: {error}') from error
    if not (np.isfinite(found.segments).all() and np.isfinite(found.scores).all()):
        raise ValueError(
            f'{place}: the predictions hold NaN or infinite numbers; the checkpoint '
            'may come from a training that diverged'
        )
    return found


def _to_numpy(value: Any) -> np.ndarray:
    """A tensor on any device, an array or a list, as an array."""
    if isinstance(value, torch.Tensor):
        value = value.detach().cpu()
        # numpy has no bfloat16
        return value.double().numpy() if value.is_floating_point() else value.numpy()
    return np.asarray(value)


def _clamp(found: Segments, duration_s: float | None) -> Segments:
    """Detections cut to the video, without those of which nothing is left."""
    limit = np.inf if duration_s is None else duration_s
    segments = np.clip(found.segments, 0.0, limit)
    found = Segments(segments, found.labels, found.scores)
    return found[segments[:, 1] > segments[:, 0]]


def _suppress(videos: list[Segments], nms: Mapping[str, Any]) -> list[Segments]:
    """Soft-NMS of each class of each video."""
    together = Segments.concatenate(videos)
    counts = np.array([len(found) for found in videos], dtype=int)
    video = np.repeat(np.arange(len(videos)), counts)
    # A label may be UNKNOWN_LABEL, which is -1.
    groups = video * (together.labels.max(initial=0) + 2) + together.labels + 1
    segments, scores, kept = soft_nms_1d(
        together.segments, together.scores, groups, **nms
    )
    found = Segments(segments, together.labels[kept], scores)
    bounds = np.searchsorted(video[kept], np.arange(len(videos) + 1))
    return [found[first:last] for first, last in pairwise(bounds)]
