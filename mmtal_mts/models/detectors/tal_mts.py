from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from mmaction.registry import MODELS, TASK_UTILS
from mmaction.structures import ActionDataSample
from mmengine.model import BaseModel
from torch import Tensor

from ..heads.boundary_refine_head import RefineOutputs
from ..heads.coarse_head import CoarseOutputs
from ..utils import fit_neck, fit_warmup_head, mean_count, mean_over_ranks

DATA_PREPROCESSOR = dict(
    type='ActionDataPreprocessor', mean=[127.5], std=[127.5], format_shape='NCTHW'
)
"""Maps frames in 0..255 to [-1, 1]."""


class RawOutputs(NamedTuple):
    """Everything both heads say about a batch of clips.

    Attributes:
        level_points: L tensors (T_l,) location centres in sampled frames.
        coarse: Output of the coarse head.
        refined: Output of the refine head.
    """

    level_points: list[Tensor]
    coarse: CoarseOutputs
    refined: RefineOutputs

    def as_dict(self) -> dict[str, Tensor]:
        """All levels joined: what ``TALMTS.forward(mode='tensor')`` returns."""
        return dict(
            points=torch.cat(list(self.level_points)),
            coarse_distances=torch.cat(self.coarse.distances, dim=1),
            coarse_logits=torch.cat(self.coarse.logits, dim=1),
            refine_offsets=self.refined.offsets,
            refine_logits=self.refined.logits,
            quality_logits=self.refined.quality_logits,
        )


def as_clips(inputs: Tensor) -> Tensor:
    """Takes MMAction2's (N, 1, C, T, H, W) for (N, C, T, H, W), and features too.

    Args:
        inputs: Frames in either layout, or features (N, C, T), which become frames of
            one pixel.

    Returns:
        (N, C, T, H, W).

    Raises:
        ValueError: Another shape.
    """
    if inputs.ndim == 6 and inputs.shape[1] == 1:
        inputs = inputs[:, 0]
    if inputs.ndim == 3:
        inputs = inputs[..., None, None]
    if inputs.ndim != 5:
        raise ValueError(
            f'inputs has shape {tuple(inputs.shape)}; expected (N, C, T, H, W), '
            '(N, 1, C, T, H, W) with one clip per sample, or features (N, C, T)'
        )
    return inputs


@MODELS.register_module()
class TALMTS(BaseModel):
    """Temporal action localization with multi-temporal scales (Fig. 2).

    With ``neck.stt`` and ``refine_head.fsa`` off and ``neck.rfp`` set to one merge it
    is the AFSD baseline (``configs/afsd``).

    Args:
        backbone: Config of a backbone that maps (N, C, T, H, W) frames to a sequence
            of (N, C_i, T_i, H_i, W_i) maps, finest first.
        neck: Config of the neck.
        coarse_head: Config of the coarse head.
        refine_head: Config of the refine head.
        decoder: Config of the decoder, with the score threshold before NMS.
        point_generator: Config of the location centres.
        data_preprocessor: Config of the data preprocessor; by default frames in
            0..255 are mapped to [-1, 1].
        warmup_head: Config of a head that trains the backbone alone while
            ``warming_up`` is set (:class:`~mmtal_mts.engine.BackboneWarmupHook`);
            ``None`` where the backbone is pretrained.
        keep_raw: Whether predictions carry the raw outputs of their clip as
            ``raw_outputs``, for :class:`~mmtal_mts.evaluation.RawOutputWriter`.
        init_cfg: MMEngine initialisation config.
    """

    def __init__(
        self,
        backbone: dict,
        neck: dict,
        coarse_head: dict,
        refine_head: dict,
        decoder: dict | None = None,
        point_generator: dict | None = None,
        data_preprocessor: dict | None = None,
        warmup_head: dict | None = None,
        keep_raw: bool = False,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(MODELS.build(data_preprocessor or DATA_PREPROCESSOR), init_cfg)
        self.backbone = MODELS.build(backbone)
        self.neck = MODELS.build(fit_neck(neck, self.backbone))
        self.coarse_head = MODELS.build(coarse_head)
        self.refine_head = MODELS.build(refine_head)
        if self.coarse_head.num_classes != self.refine_head.num_classes:
            raise ValueError(
                f'coarse_head.num_classes={self.coarse_head.num_classes}, but '
                f'refine_head.num_classes={self.refine_head.num_classes}: set both to '
                'the number of classes'
            )
        self.decoder = TASK_UTILS.build(decoder or dict(type='CoarseToFineDecoder'))
        self._check_sigmoid()
        self.point_generator = TASK_UTILS.build(
            point_generator or dict(type='SegmentPointGenerator')
        )
        self.warmup_head = None
        if warmup_head is not None:
            self.warmup_head = MODELS.build(fit_warmup_head(warmup_head, self.backbone))
        self.warming_up = False
        self.keep_raw = keep_raw

    def forward(
        self,
        inputs: Tensor,
        data_samples: Sequence[ActionDataSample] | None = None,
        mode: str = 'tensor',
    ) -> dict[str, Tensor] | list[ActionDataSample]:
        """Runs the model in one of three modes.

        Args:
            inputs: (N, C, T, H, W) normalised frames; MMAction2's (N, 1, C, T, H, W)
                of one clip per sample is taken too, and features (N, C, T) with
                :class:`~mmtal_mts.models.FeatureEmbedding` as the backbone.
            data_samples: Per clip ``gt_instances`` and optionally the metainfo
                ``consistency`` (``loss``), or the metainfo ``window_offset``,
                ``sample_fps`` and optionally ``video_scores`` (``predict``).
            mode: ``'loss'``, ``'predict'`` or ``'tensor'``.

        Returns:
            - ``'loss'``: the terms of eq. 7 and the optional ones, already weighted;
              while ``warming_up``, those of ``warmup_head`` alone.
            - ``'predict'``: the data samples with ``pred_instances``: ``segments``
              (S, 2) in seconds of the video, ``scores``, ``labels``, before NMS.
            - ``'tensor'``: ``points`` (P,) location centres in sampled frames,
              ``coarse_distances`` (N, P, 2) in sampled frames, ``coarse_logits``
              (N, P, K+1), ``refine_offsets`` (N, P, 2), ``refine_logits``
              (N, P, K+1), ``quality_logits`` (N, P); K instead of K+1 where the
              classification losses work on sigmoids.

        Raises:
            ValueError: Another mode, or inputs of another shape.
        """
        frames = as_clips(inputs)
        if mode == 'loss':
            return self.loss(frames, data_samples)
        if mode == 'predict':
            return self.predict(frames, data_samples)
        if mode == 'tensor':
            return self.extract(frames).as_dict()
        raise ValueError(f"mode={mode!r}: choose 'loss', 'predict' or 'tensor'")

    def _check_sigmoid(self) -> None:
        """What the heads predict is what the decoder decodes, or a ValueError."""
        found = {
            'coarse_head.loss_cls': self.coarse_head.use_sigmoid,
            'refine_head.loss_cls': self.refine_head.use_sigmoid,
            'decoder': self.decoder.use_sigmoid,
        }
        if len(set(found.values())) > 1:
            settings = ', '.join(f'{key}.use_sigmoid={x}' for key, x in found.items())
            raise ValueError(
                f'{settings}: let them agree. Losses such as mmdet.FocalLoss have '
                'use_sigmoid=True by themselves; the decoder must be told'
            )

    def extract(self, frames: Tensor) -> RawOutputs:
        """Runs backbone, neck and both heads on (N, C, T, H, W) frames."""
        features = self.neck(self.backbone(frames), frames)
        level_points = self.point_generator.level_points(
            [level.shape[-1] for level in features.pyramid],
            frames.shape[2],
            frames.device,
        )
        coarse = self.coarse_head(features)
        refined = self.refine_head(features.frame_level, coarse, level_points, frames)
        return RawOutputs(level_points, coarse, refined)

    def loss(
        self, frames: Tensor, data_samples: Sequence[ActionDataSample]
    ) -> dict[str, Tensor]:
        """The weighted terms of eq. 7; see :meth:`forward`."""
        gt_instances = [sample.gt_instances for sample in data_samples]
        if self.warming_up:
            return self.warmup_head.loss(
                self.backbone(frames), frames.shape[2], gt_instances
            )
        raw = self.extract(frames)
        with torch.autocast(frames.device.type, enabled=False):
            targets = self.coarse_head.get_targets(raw.level_points, gt_instances)
            losses = self.coarse_head.loss_by_feat(raw.coarse, targets)
            losses.update(
                self.refine_head.loss_by_feat(raw.refined, raw.coarse, targets)
            )
            losses.update(
                self.refine_head.boundary_loss(raw.refined.boundary, gt_instances)
            )
        if self.refine_head.loss_consistency is not None:
            losses['loss_consistency'] = self._consistency_loss(frames, data_samples)
        return losses

    def parse_losses(
        self, losses: dict[str, Tensor | list[Tensor]]
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Adds up the losses.

        Args:
            losses: As from :meth:`loss`.

        Returns:
            The sum, to differentiate; and what is logged: each of them and the sum, as
            means over the processes, so that the log is that of the whole batch.
        """
        total, logged = super().parse_losses(losses)
        means = mean_over_ranks(torch.stack(list(logged.values())))
        return total, dict(zip(logged, means))

    def _consistency_loss(
        self, frames: Tensor, data_samples: Sequence[ActionDataSample]
    ) -> Tensor:
        """Second pass over those clips that could be augmented.

        The augmented clip has the frames of the clip in another order, so that only
        the order had to travel here.
        """
        found = [sample.get('consistency') for sample in data_samples]
        chosen = [i for i, item in enumerate(found) if item is not None]
        # All processes take part, also those without such a clip.
        share = len(chosen) / mean_count(frames.new_tensor(len(chosen)))
        if not chosen:
            return frames.new_zeros(())
        clips, segments = [], []
        for i in chosen:
            order = torch.as_tensor(found[i]['frame_order'], device=frames.device)
            clips.append(frames[i].index_select(1, order))
            segments.append(torch.as_tensor(found[i]['segments']).float())
        augmented = torch.stack(clips)
        features = self.neck(self.backbone(augmented), augmented)
        coarse = self.coarse_head(features)
        boundary = self.refine_head.boundary_features(
            features.frame_level, coarse, augmented
        )
        with torch.autocast(frames.device.type, enabled=False):
            loss = self.refine_head.consistency_loss(boundary, torch.stack(segments))
        return loss * share

    def predict(
        self, frames: Tensor, data_samples: Sequence[ActionDataSample]
    ) -> list[ActionDataSample]:
        """Decodes the clips into the data samples; see :meth:`forward`."""
        outputs = self.extract(frames).as_dict()
        return self.decoder.predict_streams(
            [outputs], frames.shape[2], data_samples, keep_raw=self.keep_raw
        )
