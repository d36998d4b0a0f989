"""From segments and scores of every location to the detections of data samples."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from mmaction.structures import ActionDataSample
from mmengine.structures import InstanceData
from torch import Tensor

from ...evaluation.functional.post_processing import check_test_cfg
from ...structures.timebase import window_to_video_s

TEST_CFG = dict(score_thr=0.01, nms=None, max_per_video=None, clamp=True, fusion='raw')
"""What ``model.test_cfg`` is where a config does not say, see :class:`TALMTS`."""


def complete_test_cfg(test_cfg: dict | None) -> dict:
    """Fills ``model.test_cfg`` up with the defaults, :data:`TEST_CFG`.

    Args:
        test_cfg: Some of the settings, or ``None``.

    Returns:
        All settings, as plain dictionaries.

    Raises:
        ValueError: A setting that does not exist, or an unusable one.
    """
    settings = TEST_CFG | dict(test_cfg or {})
    # A training should not find out at its end.
    check_test_cfg(settings)
    if settings['nms'] is not None:
        settings['nms'] = dict(settings['nms'])
    if settings['fusion'] not in ('raw', 'geometric'):
        raise ValueError(
            f"model.test_cfg.fusion={settings['fusion']!r}: choose 'raw' or 'geometric'"
        )
    return settings


def select_detections(
    segments: Tensor, scores: Tensor, sample: ActionDataSample, test_cfg: dict
) -> InstanceData:
    """Keeps what is above the threshold and moves it to the video's clock.

    Args:
        segments: (P, 2) of one clip in sampled frames.
        scores: (P, K).
        sample: With the metainfo ``window_offset``, ``sample_fps`` and optionally
            ``video_scores``: ``labels`` and ``scores`` of the classes that a
            classifier sees in the whole video, which turn class-agnostic detections
            (K = 1) into one per class, with the product of both scores.
        test_cfg: With ``score_thr``; only higher scores are kept.

    Returns:
        ``segments`` (S, 2) in seconds of the video, ``scores`` (S,) and ``labels``
        (S,). A segment that was decoded with its end before its start is dropped.

    Raises:
        ValueError: ``video_scores`` for detections that have classes already.
    """
    valid = segments[:, 1] >= segments[:, 0]
    location, labels = torch.nonzero(
        (scores > test_cfg['score_thr']) & valid[:, None], as_tuple=True
    )
    found_s = window_to_video_s(
        segments[location], sample.window_offset, sample.sample_fps
    )
    kept = scores[location, labels]  # (S,)
    video_scores = sample.get('video_scores')
    if video_scores is not None:
        if scores.shape[1] != 1:
            raise ValueError(
                f'video_scores need class-agnostic detections, but the model has '
                f'num_classes={scores.shape[1]}; set num_classes=1 in both heads or '
                'take LoadVideoScores out of the test pipeline'
            )
        labels = torch.as_tensor(video_scores['labels'], device=segments.device)
        labels = labels.long().repeat_interleave(len(kept))
        factors = torch.as_tensor(video_scores['scores'], device=segments.device)
        found_s = found_s.repeat(len(factors), 1)
        kept = (factors.to(kept)[:, None] * kept).flatten()
    return InstanceData(segments=found_s, scores=kept, labels=labels)


def add_pred_to_datasample(
    data_samples: Sequence[ActionDataSample],
    instances: Sequence[InstanceData],
    test_cfg: dict,
    raw: dict[str, Tensor] | None = None,
    num_frames: int | None = None,
) -> list[ActionDataSample]:
    """Writes the detections of N clips into their data samples.

    Args:
        data_samples: N data samples.
        instances: What was found in each.
        test_cfg: Goes into the metainfo, for whoever joins the windows of a video.
        raw: Raw outputs of the batch, to be kept as the field ``raw_outputs``;
            ``None`` keeps none.
        num_frames: Frames T of the clip; goes into ``raw_outputs``.

    Returns:
        The data samples, with ``pred_instances``.
    """
    for i, (sample, found) in enumerate(zip(data_samples, instances, strict=True)):
        sample.pred_instances = found
        sample.set_metainfo(dict(test_cfg=test_cfg))
        if raw is not None:
            own = {
                key: value if key == 'points' else value[i]
                for key, value in raw.items()
            }
            sample.set_field(dict(own, num_frames=num_frames), 'raw_outputs')
    return list(data_samples)
