"""The detector."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from mmaction.registry import MODELS
from mmaction.structures import ActionDataSample
from mmengine.model import BaseModel, BaseModule
from mmengine.structures import InstanceData
from torch import Tensor, nn

from ..dense_heads import add_pred_to_datasample, complete_test_cfg, raw_outputs
from ..losses.utils import mean_count, mean_over_ranks
from ..necks import NeckFeatures, fit_neck, fit_warmup_head

DATA_PREPROCESSOR = dict(
    type='ActionDataPreprocessor', mean=[127.5], std=[127.5], format_shape='NCTHW'
)
"""Maps frames in 0..255 to [-1, 1]."""


def check_heads_agree(**heads: BaseModule) -> None:
    """Raises a ValueError unless all heads predict the same kind of classes."""
    for setting in ('num_classes', 'use_sigmoid'):
        found = {name: getattr(head, setting) for name, head in heads.items()}
        if len(set(found.values())) > 1:
            parts = (f'{name} has {setting}={value}' for name, value in found.items())
            raise ValueError(
                f'{", ".join(parts)}: let them agree (use_sigmoid is that of the '
                'loss_cls; losses such as mmdet.FocalLoss have it by themselves)'
            )


class BaseTALDetector(BaseModel):
    """What a network and a pair of networks share: inputs and modes."""

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
            - ``'tensor'``: :func:`~mmtal_mts.models.dense_heads.raw_outputs`.

        Raises:
            ValueError: Another mode, or inputs of another shape.
        """
        frames = inputs
        if frames.ndim == 6 and frames.shape[1] == 1:
            frames = frames[:, 0]
        if frames.ndim == 3:
            frames = frames[..., None, None]  # frames of one pixel
        if frames.ndim != 5:
            raise ValueError(
                f'inputs has shape {tuple(inputs.shape)}; expected (N, C, T, H, W), '
                '(N, 1, C, T, H, W) with one clip per sample, or features (N, C, T)'
            )
        match mode:
            case 'loss':
                return self.loss(frames, data_samples)
            case 'predict':
                return self.predict(frames, data_samples)
            case 'tensor':
                return self._forward(frames)
        raise ValueError(f"mode={mode!r}: choose 'loss', 'predict' or 'tensor'")


@MODELS.register_module()
class TALMTS(BaseTALDetector):
    """Temporal action localization with multi-temporal scales (Fig. 2).

    With ``neck.stt`` and ``refine_head.fsa`` off and ``neck.rfp`` set to one merge it
    is the AFSD baseline (``configs/afsd``).

    Args:
        backbone: Config of a backbone that maps (N, C, T, H, W) frames to a sequence
            of (N, C_i, T_i, H_i, W_i) maps, finest first.
        neck: Config of the neck.
        coarse_head: Config of the coarse head.
        refine_head: Config of the refine head.
        test_cfg: Settings of everything behind the network, each of which may be left
            out:

            - ``score_thr`` (0.01): only higher scores of a location and class count.
            - ``nms`` (``None``): settings of :func:`~mmtal_mts.ops.soft_nms_1d` over
              the windows of a video, class by class; ``None`` keeps everything.
            - ``max_per_video`` (``None``): how many detections of a video are kept.
            - ``clamp`` (``True``): cut segments to the video.
            - ``fusion`` (``'raw'``): how :class:`TwoStreamTALMTS` joins segments.

            They go into the metainfo of every predicted sample, where the metric
            finds them.
        data_preprocessor: Config of the data preprocessor; by default frames in
            0..255 are mapped to [-1, 1].
        warmup_head: Config of a head that trains the backbone alone while
            ``warming_up`` is set (:class:`~mmtal_mts.engine.BackboneWarmupHook`);
            ``None`` where the backbone is pretrained.
        auxiliary_head: Config of a head that classifies all positions of f_l and f_a^r
            in training, each by itself, so that STT and FSA learn what the pyramid
            does not do for them; no part of eq. 7. ``None`` switches it off.
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
        test_cfg: dict | None = None,
        data_preprocessor: dict | None = None,
        warmup_head: dict | None = None,
        auxiliary_head: dict | None = None,
        keep_raw: bool = False,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(MODELS.build(data_preprocessor or DATA_PREPROCESSOR), init_cfg)
        self.test_cfg = complete_test_cfg(test_cfg)
        self.keep_raw = keep_raw
        self.backbone = MODELS.build(backbone)
        self.neck = MODELS.build(
            fit_neck(neck, self.backbone, fsa := refine_head.get('fsa'))
        )
        self.coarse_head = MODELS.build(coarse_head)
        if fsa is not None:
            fsa = dict(fsa, own_embedding=self.neck.tokens is None)
            refine_head = dict(refine_head, fsa=fsa)
        self.refine_head = MODELS.build(refine_head)
        check_heads_agree(coarse_head=self.coarse_head, refine_head=self.refine_head)
        self.warmup_head = None
        if warmup_head is not None:
            self.warmup_head = MODELS.build(fit_warmup_head(warmup_head, self.backbone))
        self.auxiliary_heads = nn.ModuleDict()
        modules = dict(stt=self.neck.stt, fsa=self.refine_head.fsa)
        for name, module in modules.items():
            if auxiliary_head is not None and module is not None:
                sizes = dict(in_channels=module.linear.out_features)
                sizes['num_classes'] = self.coarse_head.num_classes
                head = MODELS.build(auxiliary_head | sizes)
                self.auxiliary_heads[name] = head
        self.warming_up = False

    def extract_feat(self, frames: Tensor) -> NeckFeatures:
        """Runs backbone, neck and FSA on (N, C, T, H, W) frames."""
        features = self.neck(self.backbone(frames), frames)
        if self.refine_head.fsa is None:
            return features
        foreground = self.refine_head.fsa(frames, features.tokens)
        return features._replace(foreground=foreground)

    def _forward(self, frames: Tensor) -> dict[str, Tensor]:
        """What both heads say about (N, C, T, H, W) frames."""
        features = self.extract_feat(frames)
        coarse = self.coarse_head(features)
        return raw_outputs(coarse, self.refine_head(features, coarse))

    def loss(
        self, frames: Tensor, data_samples: Sequence[ActionDataSample]
    ) -> dict[str, Tensor]:
        """The weighted terms of eq. 7; see :meth:`forward`."""
        gt_instances = [sample.gt_instances for sample in data_samples]
        if self.warming_up:
            targets = frames.shape[2], gt_instances
            losses = self.warmup_head.loss(self.backbone(frames), *targets)
            if not self.auxiliary_heads:
                return losses
            # What they train has parts that no other module reads, so it can begin.
            tokens = self.neck.tokens and self.neck.tokens(frames)
            modules = self.neck.stt, self.refine_head.fsa
            outputs = (module and module(frames, tokens) for module in modules)
            return losses | self._auxiliary_loss(*outputs, *targets)
        features = self.extract_feat(frames)
        losses, *coarse = self.coarse_head.loss_and_predict(features, gt_instances)
        losses.update(self.refine_head.loss(features, *coarse, gt_instances))
        trained = features.context, features.foreground
        losses.update(self._auxiliary_loss(*trained, frames.shape[2], gt_instances))
        if self.refine_head.loss_consistency is not None:
            losses['loss_consistency'] = self._consistency_loss(frames, data_samples)
        return losses

    def _auxiliary_loss(
        self,
        context: Sequence[Tensor] | None,
        foreground: Tensor | None,
        num_frames: int,
        gt_instances: Sequence[InstanceData],
    ) -> dict[str, Tensor]:
        """Losses of f_l of STT, L levels (N, C', T_l), and f_a^r of FSA (N, C', T)."""
        losses = {}
        for name, head in self.auxiliary_heads.items():
            feature = context[0] if name == 'stt' else foreground
            found = head.loss([feature[..., None, None]], num_frames, gt_instances)
            losses[f'loss_aux_{name}'] = found['loss_warmup_cls']
            losses[f'aux_acc_{name}'] = found['warmup_acc']
        return losses

    def predict(
        self, frames: Tensor, data_samples: Sequence[ActionDataSample]
    ) -> list[ActionDataSample]:
        """Writes the detections into the data samples; see :meth:`forward`."""
        features = self.extract_feat(frames)
        found, raw = self.refine_head.predict(
            features, self.coarse_head(features), data_samples, self.test_cfg
        )
        raw = raw if self.keep_raw else None
        return add_pred_to_datasample(
            data_samples, found, self.test_cfg, raw, frames.shape[2]
        )

    def parse_losses(
        self, losses: dict[str, Tensor | list[Tensor]]
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Adds up the losses of :meth:`loss`.

        Returns:
            The sum, to differentiate; and what is logged: each of them and the sum, as
            means over the processes, so that the log is that of the whole batch.
        """
        total, logged = super().parse_losses(losses)
        means = mean_over_ranks(torch.stack(list(logged.values())))
        return total, dict(zip(logged, means, strict=True))

    def _consistency_loss(
        self, frames: Tensor, data_samples: Sequence[ActionDataSample]
    ) -> Tensor:
        """Second pass over those clips that could be augmented.

        The augmented clip has the frames of the clip in another order, so that only
        the order had to travel here.
        """
        given = [sample.get('consistency') for sample in data_samples]
        chosen = [i for i, item in enumerate(given) if item is not None]
        # All processes take part, also those without such a clip.
        share = len(chosen) / mean_count(frames.new_tensor(len(chosen)))
        if not chosen:
            return frames.new_zeros(())
        clips, segments = [], []
        for i in chosen:
            order = torch.as_tensor(given[i]['frame_order'], device=frames.device)
            clips.append(frames[i].index_select(1, order))
            segments.append(torch.as_tensor(given[i]['segments']).float())
        features = self.extract_feat(torch.stack(clips))
        coarse = self.coarse_head(features)
        boundary = self.refine_head.boundary_features(features, coarse)
        with torch.autocast(frames.device.type, enabled=False):
            loss = self.refine_head.consistency_loss(boundary, torch.stack(segments))
        return loss * share
