from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from mmaction.registry import MODELS, TASK_UTILS
from mmengine.model import BaseModule
from mmengine.structures import InstanceData
from torch import Tensor

from ...ops import boundary_max_pooling
from ..layers import ConvNormReLU1d, SameConv1d
from ..task_modules import SegmentTargets
from ..utils import check_normalizer, keep_chosen, loss_normalizer
from ..utils.distances import (
    distance_tiou,
    refine_distances,
    refinement_targets,
)
from .boundary_branch import BoundaryBranch
from .class_conv import class_conv, uses_sigmoid
from .coarse_head import CoarseOutputs


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


@MODELS.register_module()
class BoundaryRefineHead(BaseModule):
    """Refines boundaries and classes, and rates them (eq. 5, 6, 9, 11, 12).

    The frame-level feature f_a is f_a^c of the neck alone (AFSD) or, with FSA, the
    concatenation [f_a^c, f_a^r] fused by a 1x1 convolution: boundary pooling takes
    the first half of the channels around starts and the second half around ends, so
    a bare concatenation would leave starts to RFP and ends to FSA.

    Args:
        num_classes: K, without background.
        channels: Channels C' of the pyramid.
        fsa: Config of :class:`FrameSelfAttention`; ``None`` switches it off.
        refine_iou_thr: A positive location stays positive here when its coarse
            segment reaches this tIoU.
        relax_refine_thr: Lower the threshold of a clip to the best tIoU among its
            positives where none reaches it, so that every clip with a positive has a
            refined one (AFSD on ActivityNet).
        quality_over: Locations of the quality loss and its normaliser: ``'refined'``
            positives (eq. 12) or all ``'coarse'`` positives (AFSD).
        quality_target_grad: Whether gradient flows through the tIoU that the quality
            has to predict (AFSD lets it).
        normalize_by: Whether losses are divided by the (refined) positives of the
            ``'batch'`` or every ``'clip'`` by its own, averaged over the clips.
        num_groups: Groups of the group normalisation.
        loss_cls: Config of the classification loss (eq. 9). One over sigmoids, such as
            ``mmdet.FocalLoss``, needs ``decoder.use_sigmoid=True``.
        loss_loc: Config of the offset loss (eq. 11).
        loss_quality: Config of the quality loss (eq. 12).
        loss_boundary: Config of the optional start/end loss on the boundary features
            (:class:`BoundaryBCELoss`, part of AFSD); ``None`` switches it off.
        loss_consistency: Config of the optional boundary consistency
            (:class:`BoundaryTripletLoss`, part of AFSD), which needs the transform
            ``CutInsertBackground`` and a second pass through the network; ``None``
            switches it off.
        regions: Config of the boundary regions.
        curves: Config of the boundary curves of ``loss_boundary``.
        init_cfg: MMEngine initialisation config.
    """

    def __init__(
        self,
        num_classes: int,
        channels: int = 512,
        fsa: dict | None = None,
        refine_iou_thr: float = 0.5,
        relax_refine_thr: bool = False,
        quality_over: str = 'refined',
        quality_target_grad: bool = False,
        normalize_by: str = 'batch',
        num_groups: int = 32,
        loss_cls: dict | None = None,
        loss_loc: dict | None = None,
        loss_quality: dict | None = None,
        loss_boundary: dict | None = None,
        loss_consistency: dict | None = None,
        regions: dict | None = None,
        curves: dict | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        if quality_over not in ('refined', 'coarse'):
            raise ValueError(
                f"quality_over={quality_over!r}: choose 'refined' or 'coarse'"
            )
        self.num_classes = num_classes
        self.refine_iou_thr = refine_iou_thr
        self.relax_refine_thr = relax_refine_thr
        self.quality_over = quality_over
        self.quality_target_grad = quality_target_grad
        self.normalize_by = check_normalizer(normalize_by)
        self.fsa = None if fsa is None else MODELS.build(fsa)
        self.frame_fuse = (
            None
            if fsa is None
            else ConvNormReLU1d(2 * channels, channels, 1, 1, num_groups)
        )
        self.loc_branch = BoundaryBranch(channels, num_groups)
        self.cls_branch = BoundaryBranch(channels, num_groups)
        self.offset_conv = SameConv1d(channels, 2, 1)
        self.loss_cls = MODELS.build(loss_cls or dict(type='SoftmaxFocalLoss'))
        self.use_sigmoid = uses_sigmoid(self.loss_cls)
        self.cls_conv = class_conv(channels, num_classes, 1, self.loss_cls)
        self.quality_conv = SameConv1d(channels, 1, 3)
        self.loss_loc = MODELS.build(loss_loc or dict(type='SegmentSmoothL1Loss'))
        self.loss_quality = MODELS.build(loss_quality or dict(type='QualityBCELoss'))
        self.loss_boundary = loss_boundary and MODELS.build(loss_boundary)
        self.loss_consistency = loss_consistency and MODELS.build(loss_consistency)
        self.regions = TASK_UTILS.build(regions or dict(type='BoundaryRegionGenerator'))
        self.curves = TASK_UTILS.build(curves or dict(type='BoundaryCurveGenerator'))

    def frame_level(self, coarse_feature: Tensor, frames: Tensor) -> Tensor:
        """f_a (N, C', T) from f_a^c (N, C', T) and the frames (N, C, T, H, W)."""
        if self.fsa is None:
            return coarse_feature
        both = torch.cat([coarse_feature, self.fsa(frames)], dim=1)
        return self.frame_fuse(both)

    def forward(
        self,
        frame_feature: Tensor,
        coarse: CoarseOutputs,
        level_points: Sequence[Tensor],
        frames: Tensor,
    ) -> RefineOutputs:
        """Refines the coarse predictions.

        Args:
            frame_feature: f_a^c (N, C', T).
            coarse: Output of the coarse head.
            level_points: L tensors (T_l,) location centres in sampled frames.
            frames: (N, C, T, H, W) normalised frames, read by FSA.

        Returns:
            See :class:`RefineOutputs`.
        """
        feature = self.frame_level(frame_feature, frames)
        num_frames = feature.shape[-1]
        distances = [d.detach() for d in coarse.distances]
        frame_regions = self.regions.frame_regions(
            torch.cat(list(level_points)), torch.cat(distances, dim=1)
        )
        # Both branches and all levels pool the same feature: once is enough.
        pooled = boundary_max_pooling(feature, frame_regions)
        pooled = pooled.split([d.shape[1] for d in distances], dim=2)

        regions = [self.regions.level_regions(d, num_frames) for d in distances]
        loc, on_loc = self.loc_branch(coarse.loc_feats, regions, pooled)
        cls, on_cls = self.cls_branch(coarse.cls_feats, regions, pooled)
        offsets, logits, quality = (
            torch.cat(conv.forward_levels(feats), dim=2).float()
            for conv, feats in (
                (self.offset_conv, loc),
                (self.cls_conv, cls),
                (self.quality_conv, loc),
            )
        )
        boundary = BoundaryFeatures(feature, on_loc, on_cls)
        return RefineOutputs(
            offsets.transpose(1, 2),
            logits.transpose(1, 2),
            quality.squeeze(1),
            boundary,
        )

    def boundary_features(
        self, frame_feature: Tensor, coarse: CoarseOutputs, frames: Tensor
    ) -> BoundaryFeatures:
        """The boundary features alone, without refining anything.

        Args:
            frame_feature: f_a^c (N, C', T).
            coarse: Output of the coarse head.
            frames: (N, C, T, H, W) normalised frames, read by FSA.

        Returns:
            See :class:`BoundaryFeatures`.
        """
        return BoundaryFeatures(
            self.frame_level(frame_feature, frames),
            self.loc_branch.level(coarse.loc_feats[0]),
            self.cls_branch.level(coarse.cls_feats[0]),
        )

    def loss_by_feat(
        self, outputs: RefineOutputs, coarse: CoarseOutputs, targets: SegmentTargets
    ) -> dict[str, Tensor]:
        """Refined terms of eq. 7, divided by the refined positives N^r.

        Args:
            outputs: Output of :meth:`forward`.
            coarse: Output of the coarse head.
            targets: Targets of the coarse head.

        Returns:
            ``loss_refine_cls``, ``loss_refine_loc`` and ``loss_quality``.
        """
        distances = torch.cat(coarse.distances, dim=1)  # (N, P, 2)
        positive = targets.labels < self.num_classes  # (N, P)
        refined = self._refined(distances.detach(), targets.distances, positive)
        labels = targets.labels.masked_fill(~refined, self.num_classes)
        normalizer = loss_normalizer(refined, self.normalize_by)

        loss_cls = self.loss_cls(
            outputs.logits.flatten(0, 1), labels.flatten(), **normalizer.everywhere()
        )
        wanted = refinement_targets(distances.detach(), targets.distances)
        loss_loc = self.loss_loc(
            *keep_chosen(refined, outputs.offsets, wanted),
            **normalizer.at_distances(refined),
        )
        return dict(
            loss_refine_cls=loss_cls,
            loss_refine_loc=loss_loc,
            loss_quality=self._quality_loss(
                outputs, distances, targets, positive, refined
            ),
        )

    def _refined(self, distances: Tensor, wanted: Tensor, positive: Tensor) -> Tensor:
        """Positives whose coarse segment is good enough: (N, P) bool."""
        reached = distance_tiou(distances, wanted)
        threshold = torch.full_like(reached[:, :1], self.refine_iou_thr)
        if self.relax_refine_thr:
            best = reached.masked_fill(~positive, -torch.inf).amax(1, keepdim=True)
            threshold = torch.minimum(threshold, best)
        return positive & (reached >= threshold)

    def _quality_loss(
        self,
        outputs: RefineOutputs,
        distances: Tensor,
        targets: SegmentTargets,
        positive: Tensor,
        refined: Tensor,
    ) -> Tensor:
        chosen = refined if self.quality_over == 'refined' else positive
        distances, offsets, wanted, logits = keep_chosen(
            chosen,
            distances,
            outputs.offsets,
            targets.distances,
            outputs.quality_logits,
        )
        tiou = distance_tiou(refine_distances(distances, offsets), wanted).clamp(min=0)
        if not self.quality_target_grad:
            tiou = tiou.detach()
        return self.loss_quality(
            logits, tiou, **loss_normalizer(chosen, self.normalize_by).at(chosen)
        )

    def boundary_loss(
        self, features: BoundaryFeatures, gt_instances: Sequence[InstanceData]
    ) -> dict[str, Tensor]:
        """Start/end loss of AFSD, no part of eq. 7.

        Args:
            features: Boundary features of the clips.
            gt_instances: Per clip ``segments`` (G, 2) in sampled frames.

        Returns:
            ``loss_start`` and ``loss_end``; nothing if it is switched off.
        """
        if self.loss_boundary is None:
            return {}
        num_frames = features.frame_level.shape[2]
        curves = torch.stack(
            [self.curves.curves(gt.segments, num_frames) for gt in gt_instances], dim=1
        ).to(features.frame_level.device)  # (2, N, T)
        halves = zip(*(feature.chunk(2, dim=1) for feature in features))
        start, end = (
            self.loss_boundary(frame_level, [loc, cls], curve)
            for (frame_level, loc, cls), curve in zip(halves, curves)
        )
        return dict(loss_start=start, loss_end=end)

    def consistency_loss(self, features: BoundaryFeatures, segments: Tensor) -> Tensor:
        """Boundary consistency of AFSD over augmented clips.

        Args:
            features: Boundary features of the augmented clips.
            segments: (N, 3, 2) first and second part of the cut action and the
                inserted background, in sampled frames.

        Returns:
            Scalar.
        """
        regions = self.regions.segment_regions(segments.to(features.frame_level.device))
        num_frames = features.frame_level.shape[2]
        pooled = [
            # Positions of the level, not rounded again: pooling truncates.
            boundary_max_pooling(feature, regions * (feature.shape[2] / num_frames))
            for feature in features
        ]
        return self.loss_consistency(pooled[0], pooled[1:])
