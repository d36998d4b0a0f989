"""What the heads hand on, up to the detections of data samples."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from mmaction.structures import ActionDataSample
from mmengine.structures import InstanceData
from torch import Tensor

from ...evaluation.functional.post_processing import check_test_cfg
from ...structures.timebase import window_to_video_s
from ..losses.utils import check_choice

TEST_CFG = dict(score_thr=0.01, nms=None, max_per_video=None, clamp=True, fusion='raw')
"""What ``model.test_cfg`` is where a config does not say, see :class:`TALMTS`."""


class CoarseOutputs(NamedTuple):
    """Output of the coarse head, level by level.

    Attributes:
        loc_feats: f_loc, L tensors (N, C', T_l).
        cls_feats: f_cls, L tensors (N, C', T_l).
        distances: L tensors (N, T_l, 2) in sampled frames.
        logits: L tensors (N, T_l, K+1), background last; (N, T_l, K) with a loss over
            sigmoids.
        level_points: L tensors (T_l,) location centres in sampled frames.
    """

    loc_feats: tuple[Tensor, ...]
    cls_feats: tuple[Tensor, ...]
    distances: tuple[Tensor, ...]
    logits: tuple[Tensor, ...]
    level_points: Sequence[Tensor] = ()


class BoundaryFeatures(NamedTuple):
    """Features that boundary pooling reads, before it.

    In each, the first half of the channels stands for starts, the second for ends.

    Attributes:
        frame_level: f_a (N, C', T).
        loc: Finest level of the localisation branch (N, 2C', T_0).
        cls: Finest level of the classification branch (N, 2C', T_0).
    """

    frame_level: Tensor
    loc: Tensor
    cls: Tensor


class RefineOutputs(NamedTuple):
    """Output of the refine head over all P locations.

    Attributes:
        offsets: (N, P, 2) change of the coarse distances in units of half the coarse
            length.
        logits: (N, P, K+1), background last; (N, P, K) with a loss over sigmoids.
        quality_logits: (N, P).
        boundary: Features for the optional boundary loss.
    """

    offsets: Tensor
    logits: Tensor
    quality_logits: Tensor
    boundary: BoundaryFeatures | None = None


RAW_OUTPUTS = (
    'points',
    'coarse_distances',
    'coarse_logits',
    'refine_offsets',
    'refine_logits',
    'quality_logits',
)
"""Names of the :func:`raw_outputs`; all but the points have a batch dimension."""


def raw_outputs(coarse: CoarseOutputs, refined: RefineOutputs) -> dict[str, Tensor]:
    """What both heads say, all levels joined.

    Returns:
        ``points`` (P,) location centres in sampled frames, ``coarse_distances``
        (N, P, 2) in sampled frames, ``coarse_logits`` (N, P, K+1), ``refine_offsets``
        (N, P, 2), ``refine_logits`` (N, P, K+1), ``quality_logits`` (N, P); K instead
        of K+1 where the classification losses work on sigmoids.
    """
    values = (
        torch.cat(list(coarse.level_points)),
        torch.cat(coarse.distances, dim=1),
        torch.cat(coarse.logits, dim=1),
        *refined[:3],
    )
    return dict(zip(RAW_OUTPUTS, values, strict=True))


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
    check_choice('model.test_cfg.fusion', settings['fusion'], 'raw', 'geometric')
    return settings | dict(nms=settings['nms'] and dict(settings['nms']))


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
            own = {key: v if key == 'points' else v[i] for key, v in raw.items()}
            sample.set_field(dict(own, num_frames=num_frames), 'raw_outputs')
    return list(data_samples)
