from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from mmaction.registry import TASK_UTILS
from mmaction.structures import ActionDataSample
from mmengine.structures import InstanceData
from torch import Tensor

from ..utils.distances import refine_distances

# Raw outputs that have a batch dimension; ``points`` has none.
RAW_OUTPUTS = (
    'coarse_distances',
    'coarse_logits',
    'refine_offsets',
    'refine_logits',
    'quality_logits',
)


@TASK_UTILS.register_module()
class CoarseToFineDecoder:
    """Segments and scores from the raw outputs of both heads (eq. 13).

    Args:
        score_thr: Only (location, class) pairs with a higher score are returned.
        fusion: How :meth:`decode_streams` joins the segments of several networks:
            ``'raw'`` averages distances and offsets and decodes once; ``'geometric'``
            decodes each network and takes the geometric mean of starts and of ends
            (AFSD on ActivityNet). Logits are averaged either way.
        use_sigmoid: Whether the classes are rated one by one (K logits through a
            sigmoid) instead of against each other and background (K+1 logits through a
            softmax); what the classification losses of the heads say.

    Raises:
        ValueError: Another ``fusion``.
    """

    def __init__(
        self,
        score_thr: float = 0.01,
        fusion: str = 'raw',
        use_sigmoid: bool = False,
    ) -> None:
        if fusion not in ('raw', 'geometric'):
            raise ValueError(f"fusion={fusion!r}: choose 'raw' or 'geometric'")
        self.score_thr = score_thr
        self.fusion = fusion
        self.use_sigmoid = use_sigmoid

    def decode(
        self, outputs: dict[str, Tensor], num_frames: int
    ) -> tuple[Tensor, Tensor]:
        """Decodes a batch without any threshold.

        Args:
            outputs: The dict of ``TALMTS.forward(mode='tensor')``.
            num_frames: Frames T of the clip; segments are clamped to [0, T].

        Returns:
            segments (N, P, 2) in sampled frames of the clip and scores (N, P, K)
            without background.
        """
        distances = refine_distances(
            outputs['coarse_distances'].float(), outputs['refine_offsets'].float()
        )
        points = outputs['points'].to(distances)
        start = points - distances[..., 0]
        end = points + distances[..., 1]
        segments = torch.stack([start, end], dim=-1).clamp(0, num_frames)
        coarse, refined = (
            self._class_probs(outputs[key].float())
            for key in ('coarse_logits', 'refine_logits')
        )
        quality = outputs['quality_logits'].float().sigmoid()
        return segments, 0.5 * (coarse + refined) * quality[..., None]

    def _class_probs(self, logits: Tensor) -> Tensor:
        """(N, P, K) or (N, P, K+1) logits -> (N, P, K) without background."""
        return logits.sigmoid() if self.use_sigmoid else logits.softmax(-1)[..., :-1]

    @staticmethod
    def check_weights(weights: Sequence[float] | None, num_streams: int) -> list[float]:
        """Normalises the weights of the streams to a sum of 1.

        Args:
            weights: One per stream; None weighs all the same.
            num_streams: Number of streams.

        Returns:
            The weights.

        Raises:
            ValueError: Another number of weights, or unusable ones.
        """
        if weights is None:
            weights = [1.0] * num_streams
        total = sum(weights)
        if len(weights) != num_streams or min(weights) < 0 or not 0 < total < math.inf:
            raise ValueError(
                f'weights={list(weights)}: give one number >= 0 for each of the '
                f'{num_streams} streams, at least one of them positive'
            )
        return [weight / total for weight in weights]

    def mean_outputs(
        self,
        streams: Sequence[dict[str, Tensor]],
        weights: Sequence[float] | None = None,
    ) -> dict[str, Tensor]:
        """Averages the raw outputs of several networks that saw the same clips.

        Args:
            streams: Per network what :meth:`decode` takes, with equal points.
            weights: Weight of each stream; None weighs all the same.

        Returns:
            The average, of the same keys and shapes.
        """
        weights = self.check_weights(weights, len(streams))
        mean = {
            key: sum(
                weight * stream[key].float() for weight, stream in zip(weights, streams)
            )
            for key in RAW_OUTPUTS
        }
        return dict(points=streams[0]['points'], **mean)

    def decode_streams(
        self,
        streams: Sequence[dict[str, Tensor]],
        num_frames: int,
        weights: Sequence[float] | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Decodes several networks (RGB and flow) that saw the same clips.

        Args:
            streams: Per network what :meth:`decode` takes, with equal points.
            num_frames: Frames T of the clip.
            weights: Weight of each stream; None weighs all the same.

        Returns:
            See :meth:`decode`.
        """
        weights = self.check_weights(weights, len(streams))
        mean = self.mean_outputs(streams, weights)
        segments, scores = self.decode(mean, num_frames)
        if self.fusion == 'geometric':
            segments = torch.ones_like(segments)
            for weight, stream in zip(weights, streams):
                segments = segments * self.decode(stream, num_frames)[0] ** weight
        return segments, scores

    def predict_streams(
        self,
        streams: Sequence[dict[str, Tensor]],
        num_frames: int,
        data_samples: Sequence[ActionDataSample],
        weights: Sequence[float] | None = None,
        keep_raw: bool = False,
    ) -> list[ActionDataSample]:
        """Decodes the clips of a batch into their data samples.

        Args:
            streams: Per network what :meth:`decode` takes; one network is fine.
            num_frames: Frames T of the clip.
            data_samples: N data samples with the metainfo ``window_offset``,
                ``sample_fps`` and optionally ``video_scores``.
            weights: Weight of each stream; None weighs all the same.
            keep_raw: Whether to keep the averaged raw outputs as ``raw_outputs``.

        Returns:
            The data samples, with ``pred_instances`` (see :meth:`to_instances`).
        """
        with torch.autocast(streams[0]['points'].device.type, enabled=False):
            segments, scores = self.decode_streams(streams, num_frames, weights)
            mean = self.mean_outputs(streams, weights) if keep_raw else None
        for i, sample in enumerate(data_samples):
            sample.pred_instances = self.to_instances(
                segments[i],
                scores[i],
                sample.window_offset,
                sample.sample_fps,
                sample.get('video_scores'),
            )
            if mean is not None:
                raw = {key: value[i] for key, value in mean.items() if key != 'points'}
                raw.update(points=mean['points'], num_frames=num_frames)
                sample.set_field(raw, 'raw_outputs')
        return list(data_samples)

    def to_instances(
        self,
        segments: Tensor,
        scores: Tensor,
        window_offset: float,
        sample_fps: float,
        video_scores: dict | None = None,
    ) -> InstanceData:
        """Keeps what is above the threshold and moves it to the video's clock.

        Args:
            segments: (P, 2) of one clip in sampled frames.
            scores: (P, K).
            window_offset: First sampled frame of the clip in its video.
            sample_fps: Sampled frames per second.
            video_scores: ``labels`` and ``scores`` of the classes that a classifier
                sees in the whole video; turns class-agnostic detections (K = 1) into
                one per class, with the product of both scores.

        Returns:
            ``segments`` (S, 2) in seconds of the video, ``scores`` (S,) and ``labels``
            (S,). A segment that was decoded with its end before its start is dropped.

        Raises:
            ValueError: ``video_scores`` for detections that have classes already.
        """
        valid = segments[:, 1] >= segments[:, 0]
        location, label = torch.nonzero(
            (scores > self.score_thr) & valid[:, None], as_tuple=True
        )
        found = InstanceData(
            segments=(segments[location] + window_offset) / sample_fps,
            scores=scores[location, label],
            labels=label,
        )
        if video_scores is None:
            return found
        if scores.shape[1] != 1:
            raise ValueError(
                f'video_scores need class-agnostic detections, but the model has '
                f'num_classes={scores.shape[1]}; set num_classes=1 in both heads or '
                'take LoadVideoScores out of the test pipeline'
            )
        labels = torch.as_tensor(video_scores['labels'], device=segments.device)
        factors = torch.as_tensor(video_scores['scores'], device=segments.device)
        return InstanceData(
            segments=found.segments.repeat(len(labels), 1),
            scores=(factors.to(found.scores)[:, None] * found.scores).flatten(),
            labels=labels.long().repeat_interleave(len(found.scores)),
        )
