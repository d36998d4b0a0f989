from __future__ import annotations

from collections.abc import Sequence

import torch
from mmaction.registry import TASK_UTILS
from mmengine.structures import InstanceData
from torch import Tensor

from ...structures.segments import refine_distances

_RAW = (
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

    Raises:
        ValueError: Another ``fusion``.
    """

    def __init__(self, score_thr: float = 0.01, fusion: str = 'raw') -> None:
        if fusion not in ('raw', 'geometric'):
            raise ValueError(f"fusion={fusion!r}: choose 'raw' or 'geometric'")
        self.score_thr = score_thr
        self.fusion = fusion

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
        probs = outputs['coarse_logits'].float().softmax(-1)
        probs = probs + outputs['refine_logits'].float().softmax(-1)
        quality = outputs['quality_logits'].float().sigmoid()
        scores = 0.5 * probs[..., :-1] * quality[..., None]
        return segments, scores

    def decode_streams(
        self, streams: Sequence[dict[str, Tensor]], num_frames: int
    ) -> tuple[Tensor, Tensor]:
        """Decodes several networks (RGB and flow) that saw the same clips.

        Args:
            streams: Per network what :meth:`decode` takes, with equal points.
            num_frames: Frames T of the clip.

        Returns:
            See :meth:`decode`.
        """
        mean = {
            key: torch.stack([stream[key].float() for stream in streams]).mean(0)
            for key in _RAW
        }
        mean['points'] = streams[0]['points']
        segments, scores = self.decode(mean, num_frames)
        if self.fusion == 'geometric':
            decoded = [self.decode(stream, num_frames)[0] for stream in streams]
            segments = torch.stack(decoded).prod(0) ** (1 / len(streams))
        return segments, scores

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
