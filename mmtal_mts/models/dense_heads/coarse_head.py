"""The head of coarse distances and classes."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from mmaction.registry import MODELS, TASK_UTILS
from mmcv.cnn import Scale
from mmengine.model import BaseModule
from mmengine.structures import InstanceData
from torch import Tensor, nn

from ..layers import ConvNormReLU1d, SameConv1d
from ..losses import build_distance_loss
from ..losses.utils import check_choice, class_conv, loss_weights, mean_over_chosen
from ..necks import NeckFeatures
from ..task_modules import SegmentTargets
from .outputs import CoarseOutputs


@MODELS.register_module()
class CoarseHead(BaseModule):
    """Coarse distances and classes of every location (eq. 2-4).

    Localisation reads the refined pyramid f, classification the concatenation
    [f, f_l] with the context of STT. Weights are shared over the levels.

    Args:
        num_classes: K, without background.
        channels: Channels C' of the pyramid.
        with_context: Whether the neck delivers f_l (STT on).
        zero_context: Whether the weights that read f_l are zero at the start, so that
            the head starts as the one without STT.
        num_levels: Number L of levels.
        num_convs: Convolution units per tower.
        distance_factors: Factor of the distances per level; ``None`` means 1, so
            that distances are sampled frames on every level (AFSD on THUMOS14).
        normalize_by: Whether losses are divided by the positives of the ``'batch'``
            or every ``'clip'`` by its own, averaged over the clips (AFSD on
            ActivityNet).
        num_groups: Groups of the group normalisation.
        loss_cls: Config of the classification loss (eq. 8); one over sigmoids, such as
            ``mmdet.FocalLoss``, has no background.
        loss_loc: Config of the localisation loss (eq. 10), also one between boxes, such
            as ``mmdet.GIoULoss``.
        assigner: Config of the label assignment.
        point_generator: Config of the location centres.
        init_cfg: MMEngine initialisation config.
    """

    def __init__(
        self,
        num_classes: int,
        channels: int = 512,
        with_context: bool = True,
        zero_context: bool = True,
        num_levels: int = 6,
        num_convs: int = 2,
        distance_factors: Sequence[float] | None = None,
        normalize_by: str = 'batch',
        num_groups: int = 32,
        loss_cls: dict | None = None,
        loss_loc: dict | None = None,
        assigner: dict | None = None,
        point_generator: dict | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        if distance_factors is None:
            distance_factors = (1.0,) * num_levels
        if len(distance_factors) != num_levels:
            raise ValueError(
                f'distance_factors={list(distance_factors)} needs one entry for each '
                f'of the {num_levels} levels'
            )
        self.num_classes = num_classes
        self.with_context = with_context
        self.zero_context = zero_context
        self.distance_factors = tuple(distance_factors)
        self.normalize_by = check_choice('normalize_by', normalize_by, 'batch', 'clip')
        towers = []
        for in_channels in (channels, channels * (1 + with_context)):
            widths = pairwise([in_channels] + [channels] * num_convs)
            units = (ConvNormReLU1d(a, b, num_groups=num_groups) for a, b in widths)
            towers.append(nn.Sequential(*units))
        self.loc_tower, self.cls_tower = towers
        self.loc_conv = SameConv1d(channels, 2, 3)
        self.loss_cls = MODELS.build(loss_cls or dict(type='SoftmaxFocalLoss'))
        self.loss_loc = build_distance_loss(loss_loc or dict(type='SegmentGIoULoss'))
        self.cls_conv, self.use_sigmoid = class_conv(
            channels, num_classes, 3, self.loss_cls
        )
        self.scales = nn.ModuleList(Scale(1.0) for _ in range(num_levels))
        self.assigner = TASK_UTILS.build(assigner or dict(type='SegmentAssigner'))
        self.point_generator = TASK_UTILS.build(
            point_generator or dict(type='SegmentPointGenerator')
        )

    def init_weights(self) -> None:
        """Applies ``init_cfg``; then the classification ignores f_l, if asked for."""
        super().init_weights()
        if self.with_context and self.zero_context:
            pyramid, context = self.cls_tower[0].conv.weight.data.chunk(2, dim=1)
            # The fan of a tower that reads the pyramid alone.
            nn.init.xavier_uniform_(pyramid)
            nn.init.zeros_(context)

    def forward(self, features: NeckFeatures) -> CoarseOutputs:
        """Predicts every level.

        Raises:
            ValueError: The neck delivers other levels than configured, or f_l where
                none is expected, or the other way round.
        """
        pyramid, context = features.pyramid, features.context
        if len(pyramid) != len(self.scales):
            raise ValueError(
                f'the neck has {len(pyramid)} levels, coarse_head.num_levels is '
                f'{len(self.scales)}'
            )
        if (context is not None) != self.with_context:
            raise ValueError(
                f'coarse_head.with_context={self.with_context}, but neck.stt is '
                f'{"off" if context is None else "on"}: set both or neither'
            )
        loc_feats = cls_feats = pyramid
        if context is not None:
            pairs = zip(pyramid, context, strict=True)
            cls_feats = [torch.cat(pair, dim=1) for pair in pairs]
        for unit in self.loc_tower:
            loc_feats = unit.forward_levels(loc_feats)
        for unit in self.cls_tower:
            cls_feats = unit.forward_levels(cls_feats)
        # Distances and logits leave autocast here: exp of a half overflows at 11.
        raw, logits = (
            # ONNX does not know mT.
            tuple(x.transpose(1, 2).float() for x in conv.forward_levels(feats))
            for conv, feats in ((self.loc_conv, loc_feats), (self.cls_conv, cls_feats))
        )
        scaled = zip(raw, self.scales, self.distance_factors, strict=True)
        distances = tuple(scale(x).exp() * factor for x, scale, factor in scaled)
        lengths, num_frames = [x.shape[-1] for x in pyramid], features.frames.shape[2]
        level_points = self.point_generator.level_points(
            lengths, num_frames, pyramid[0].device
        )
        return CoarseOutputs(loc_feats, cls_feats, distances, logits, level_points)

    def loss_and_predict(
        self, features: NeckFeatures, gt_instances: Sequence[InstanceData]
    ) -> tuple[dict[str, Tensor], CoarseOutputs, SegmentTargets]:
        """Losses (:meth:`loss_by_feat`), and what the refine head starts from.

        That is the outputs (:meth:`forward`) and the targets (:meth:`get_targets`).
        """
        outputs = self(features)
        with torch.autocast(features.frames.device.type, enabled=False):
            targets = self.get_targets(outputs.level_points, gt_instances)
            losses = self.loss_by_feat(outputs, targets)
        return losses, outputs, targets

    def get_targets(
        self, level_points: Sequence[Tensor], gt_instances: Sequence[InstanceData]
    ) -> SegmentTargets:
        """Assigns ground truth to the locations of every clip.

        Args:
            level_points: L tensors (T_l,) location centres in sampled frames.
            gt_instances: Per clip ``segments`` (G, 2) in sampled frames and
                ``labels`` (G,).
        """
        pairs = (
            self.assigner.assign(level_points, gt.segments, gt.labels, self.num_classes)
            for gt in gt_instances
        )
        return SegmentTargets(*map(torch.stack, zip(*pairs, strict=True)))

    def loss_by_feat(
        self, outputs: CoarseOutputs, targets: SegmentTargets
    ) -> dict[str, Tensor]:
        """Coarse terms of eq. 7, both divided by the positives N^c.

        Returns:
            ``loss_coarse_cls`` and ``loss_coarse_loc``.
        """
        distances = torch.cat(outputs.distances, dim=1)  # (N, P, 2)
        logits = torch.cat(outputs.logits, dim=1)  # (N, P, K+1) or (N, P, K)
        positive = targets.labels < self.num_classes  # (N, P)
        weights = loss_weights(positive, self.normalize_by)
        loss_cls = self.loss_cls(
            logits.flatten(0, 1),
            targets.labels.flatten(),
            weight=weights[0].flatten(),
            avg_factor=weights[1],
        )
        loss_loc = mean_over_chosen(
            self.loss_loc, positive, weights, distances, targets.distances
        )
        return dict(loss_coarse_cls=loss_cls, loss_coarse_loc=loss_loc)
