"""The head that refines boundaries and rates them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from mmaction.registry import MODELS, TASK_UTILS
from mmaction.structures import ActionDataSample
from mmengine.model import BaseModule
from mmengine.structures import InstanceData
from torch import Tensor, nn

from ...ops import boundary_max_pooling, boundary_max_pooling_levels
from ..layers import ConvNormReLU1d, SameConv1d, ZeroConv1d
from ..losses.utils import (
    best_tiou,
    check_choice,
    class_conv,
    distance_tiou,
    keep_chosen,
    loss_weights,
    mean_over_chosen,
)
from ..necks import NeckFeatures
from ..task_modules import SegmentTargets
from .outputs import (
    BoundaryFeatures,
    CoarseOutputs,
    RefineOutputs,
    raw_outputs,
    select_detections,
)


class BoundaryBranch(nn.Module):
    """Fine-grained feature of one task: BP in eq. 6 with AFSD's convolutions."""

    def __init__(self, channels: int, num_groups: int) -> None:
        super().__init__()
        self.own = ConvNormReLU1d(channels, channels, 1, 1, num_groups)
        self.level = ConvNormReLU1d(channels, 2 * channels, 1, 1, num_groups)
        self.frame = ConvNormReLU1d(channels, channels, 1, 1, num_groups)
        self.fuse = ConvNormReLU1d(4 * channels, channels, 1, 1, num_groups)

    def forward(
        self,
        feats: Sequence[Tensor],
        level_regions: Sequence[Tensor],
        pooled: Sequence[Tensor],
    ) -> tuple[tuple[Tensor, ...], Tensor]:
        """Refines f_loc or f_cls, L tensors (N, C', T_l).

        ``level_regions`` (N, T_l, 4) are in cells, ``pooled`` (N, C', T_l) is the
        frame-level feature around the boundaries.

        Returns:
            The fine-grained features, L tensors (N, C', T_l), and the boundary
            feature of the finest level (N, 2C', T_0) before it was pooled.
        """
        boundary = self.level.forward_levels(feats)
        on_level = boundary_max_pooling_levels(boundary, level_regions)
        on_frame = self.frame.forward_levels(pooled)
        parts = zip(on_frame, on_level, self.own.forward_levels(feats), strict=True)
        refined = self.fuse.forward_levels([torch.cat(part, dim=1) for part in parts])
        return refined, boundary[0]


@MODELS.register_module()
class BoundaryRefineHead(BaseModule):
    """Refines boundaries and classes, and rates them (eq. 5, 6, 9, 11, 12).

    The frame-level feature f_a is f_a^c of the neck alone (AFSD) or, with FSA, the
    concatenation [f_a^c, f_a^r] fused by a 1x1 convolution: boundary pooling takes
    the first half of the channels around starts and the second half around ends, so
    a bare concatenation would leave starts to RFP and ends to FSA. A convolution of
    the concatenation is a sum, relu(f_a^c + W f_a^r); with W = 0 at the start the head
    starts as the one without FSA.

    Args:
        num_classes: K, without background.
        channels: Channels C' of the pyramid.
        fsa: Config of :class:`FrameSelfAttention`; ``None`` switches it off.
        fuse_by: ``'sum'`` as above, or ``'concat'``: a convolution unit over the
            concatenation with random weights and a normalisation.
        refine_iou_thr: A positive location stays positive here when its coarse
            segment reaches this tIoU.
        relax_refine_thr: Lower the threshold of a clip to the best tIoU among its
            positives where none reaches it, so that every clip with a positive has a
            refined one (AFSD on ActivityNet).
        quality_over: Locations over which the quality loss is the mean: ``'refined'``
            positives (eq. 12), all ``'coarse'`` positives (AFSD), or ``'all'``
            locations, where the refined segment is compared with the action that it
            overlaps most. ``None``: no quality, neither in training nor in scores.
        quality_target_grad: Whether gradient flows through the tIoU that the quality
            has to predict (AFSD lets it).
        normalize_by: Whether losses are divided by the (refined) positives of the
            ``'batch'`` or every ``'clip'`` by its own, averaged over the clips.
        num_groups: Groups of the group normalisation.
        loss_cls: Config of the classification loss (eq. 9); one over sigmoids, such as
            ``mmdet.FocalLoss``, has no background.
        loss_loc: Config of the offset loss (eq. 11).
        loss_quality: Config of the quality loss (eq. 12).
        loss_boundary: Config of the optional start/end loss on the boundary features
            (:class:`BoundaryBCELoss`, part of AFSD); ``None`` switches it off.
        loss_consistency: Config of the optional boundary consistency
            (:class:`BoundaryTripletLoss`, part of AFSD), which needs the transform
            ``CutInsertBackground`` and a second pass through the network; ``None``
            switches it off.
        coder: Config of the coder of segments.
        regions: Config of the boundary regions.
        curves: Config of the boundary curves of ``loss_boundary``.
        init_cfg: MMEngine initialisation config.
    """

    def __init__(
        self,
        num_classes: int,
        channels: int = 512,
        fsa: dict | None = None,
        fuse_by: str = 'sum',
        refine_iou_thr: float = 0.5,
        relax_refine_thr: bool = False,
        quality_over: str | None = 'refined',
        quality_target_grad: bool = False,
        normalize_by: str = 'batch',
        num_groups: int = 32,
        loss_cls: dict | None = None,
        loss_loc: dict | None = None,
        loss_quality: dict | None = None,
        loss_boundary: dict | None = None,
        loss_consistency: dict | None = None,
        coder: dict | None = None,
        regions: dict | None = None,
        curves: dict | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        self.num_classes = num_classes
        self.refine_iou_thr = refine_iou_thr
        self.relax_refine_thr = relax_refine_thr
        self.quality_over = check_choice(
            'quality_over', quality_over, 'refined', 'coarse', 'all', None
        )
        self.quality_target_grad = quality_target_grad
        self.normalize_by = check_choice('normalize_by', normalize_by, 'batch', 'clip')
        self.fsa = self.frame_fuse = None
        if fsa is not None:
            self.fsa = MODELS.build(fsa)
            if check_choice('fuse_by', fuse_by, 'sum', 'concat') == 'concat':
                self.frame_fuse = ConvNormReLU1d(
                    2 * channels, channels, 1, 1, num_groups
                )
            else:
                self.frame_fuse = ZeroConv1d(channels, channels, 1)
        self.loc_branch = BoundaryBranch(channels, num_groups)
        self.cls_branch = BoundaryBranch(channels, num_groups)
        self.offset_conv = SameConv1d(channels, 2, 1)
        self.loss_cls = MODELS.build(loss_cls or dict(type='SoftmaxFocalLoss'))
        self.cls_conv, self.use_sigmoid = class_conv(
            channels, num_classes, 1, self.loss_cls
        )
        self.quality_conv = SameConv1d(channels, 1, 3)
        self.loss_loc = MODELS.build(loss_loc or dict(type='SegmentSmoothL1Loss'))
        self.loss_quality = MODELS.build(loss_quality or dict(type='QualityBCELoss'))
        self.loss_boundary = loss_boundary and MODELS.build(loss_boundary)
        self.loss_consistency = loss_consistency and MODELS.build(loss_consistency)
        self.coder = TASK_UTILS.build(coder or dict(type='SegmentCoder'))
        self.regions = TASK_UTILS.build(regions or dict(type='BoundaryRegionGenerator'))
        self.curves = TASK_UTILS.build(curves or dict(type='BoundaryCurveGenerator'))

    def frame_level(self, features: NeckFeatures) -> Tensor:
        """f_a (N, C', T) from f_a^c and, with FSA, f_a^r."""
        if self.fsa is None:
            return features.frame_level
        of_pyramid, of_frames = features.frame_level, features.foreground
        if isinstance(self.frame_fuse, ZeroConv1d):
            return (of_pyramid + self.frame_fuse(of_frames)).relu()
        return self.frame_fuse(torch.cat([of_pyramid, of_frames], dim=1))

    def forward(self, features: NeckFeatures, coarse: CoarseOutputs) -> RefineOutputs:
        """Refines the coarse predictions from the features of the neck."""
        feature = self.frame_level(features)  # (N, C', T)
        num_frames = feature.shape[-1]
        distances = [d.detach() for d in coarse.distances]
        frame_regions = self.regions.frame_regions(
            torch.cat(list(coarse.level_points)), torch.cat(distances, dim=1)
        )  # (N, P, 4)
        # Both branches and all levels pool the same feature: once is enough.
        pooled = boundary_max_pooling(feature, frame_regions)
        pooled = pooled.split([d.shape[1] for d in distances], dim=2)

        regions = [self.regions.level_regions(d, num_frames) for d in distances]
        loc, on_loc = self.loc_branch(coarse.loc_feats, regions, pooled)
        cls, on_cls = self.cls_branch(coarse.cls_feats, regions, pooled)
        convs = (self.offset_conv, loc), (self.cls_conv, cls), (self.quality_conv, loc)
        offsets, logits, quality = (
            torch.cat(conv.forward_levels(feats), dim=2).float().transpose(1, 2)
            for conv, feats in convs
        )  # (N, P, ...)
        boundary = BoundaryFeatures(feature, on_loc, on_cls)
        return RefineOutputs(offsets, logits, quality.squeeze(2), boundary)

    def boundary_features(
        self, features: NeckFeatures, coarse: CoarseOutputs
    ) -> BoundaryFeatures:
        """The boundary features alone, at a fraction of the time of :meth:`forward`."""
        return BoundaryFeatures(
            self.frame_level(features),
            self.loc_branch.level(coarse.loc_feats[0]),
            self.cls_branch.level(coarse.cls_feats[0]),
        )

    def loss(
        self,
        features: NeckFeatures,
        coarse: CoarseOutputs,
        targets: SegmentTargets,
        gt_instances: Sequence[InstanceData],
    ) -> dict[str, Tensor]:
        """Those of :meth:`loss_by_feat` and :meth:`boundary_loss`.

        Args:
            features: Output of the neck.
            coarse: Output of the coarse head.
            targets: Targets of the coarse head.
            gt_instances: Per clip ``segments`` (G, 2) in sampled frames.
        """
        outputs = self(features, coarse)
        with torch.autocast(features.frames.device.type, enabled=False):
            losses = self.loss_by_feat(outputs, coarse, targets, gt_instances)
            losses.update(self.boundary_loss(outputs.boundary, gt_instances))
        return losses

    def loss_by_feat(
        self,
        outputs: RefineOutputs,
        coarse: CoarseOutputs,
        targets: SegmentTargets,
        gt_instances: Sequence[InstanceData],
    ) -> dict[str, Tensor]:
        """Refined terms of eq. 7, divided by the refined positives N^r.

        Returns:
            ``loss_refine_cls``, ``loss_refine_loc`` and ``loss_quality``.
        """
        distances = torch.cat(coarse.distances, dim=1)  # (N, P, 2)
        positive = targets.labels < self.num_classes  # (N, P)
        refined = self._refined(distances.detach(), targets.distances, positive)
        labels = targets.labels.masked_fill(~refined, self.num_classes)
        weights = loss_weights(refined, self.normalize_by)
        losses = dict(
            loss_refine_cls=self.loss_cls(
                outputs.logits.flatten(0, 1),
                labels.flatten(),
                weight=weights[0].flatten(),
                avg_factor=weights[1],
            )
        )
        wanted = self.coder.encode(distances.detach(), targets.distances)
        losses['loss_refine_loc'] = mean_over_chosen(
            self.loss_loc, refined, weights, outputs.offsets, wanted
        )
        rated = refined
        if self.quality_over != 'refined':
            none = torch.zeros_like(positive)
            rated = {'coarse': positive, 'all': ~none, None: none}[self.quality_over]
            weights = loss_weights(rated, self.normalize_by)
        *reached, wanted = keep_chosen(
            rated, distances, outputs.offsets, targets.distances
        )
        reached = self.coder.refine(*reached).view_as(distances)
        if self.quality_over == 'all':
            points = torch.cat(list(coarse.level_points))
            tiou = best_tiou(points, reached, [gt.segments for gt in gt_instances])
        else:
            tiou = distance_tiou(reached, wanted.view_as(reached)).clamp(min=0)
        tiou = tiou if self.quality_target_grad else tiou.detach()
        losses['loss_quality'] = mean_over_chosen(
            self.loss_quality, rated, weights, outputs.quality_logits, tiou
        )
        return losses

    def _refined(self, distances: Tensor, wanted: Tensor, positive: Tensor) -> Tensor:
        """Positives whose coarse segment is good enough: (N, P) bool."""
        reached = distance_tiou(distances, wanted)
        threshold = torch.full_like(reached[:, :1], self.refine_iou_thr)
        if self.relax_refine_thr:
            best = reached.masked_fill(~positive, -torch.inf).amax(1, keepdim=True)
            threshold = torch.minimum(threshold, best)
        return positive & (reached >= threshold)

    def boundary_loss(
        self, features: BoundaryFeatures, gt_instances: Sequence[InstanceData]
    ) -> dict[str, Tensor]:
        """Start/end loss of AFSD, no part of eq. 7.

        Returns:
            ``loss_start`` and ``loss_end``; nothing if it is switched off.
        """
        if self.loss_boundary is None:
            return {}
        num_frames = features.frame_level.shape[2]
        curves = torch.stack(
            [self.curves.curves(gt.segments, num_frames) for gt in gt_instances], dim=1
        ).to(features.frame_level.device)  # (2, N, T)
        halves = zip(*(feature.chunk(2, dim=1) for feature in features), strict=True)
        start, end = (
            self.loss_boundary(frame_level, [loc, cls], curve)
            for (frame_level, loc, cls), curve in zip(halves, curves, strict=True)
        )
        return dict(loss_start=start, loss_end=end)

    def consistency_loss(self, features: BoundaryFeatures, segments: Tensor) -> Tensor:
        """Boundary consistency of AFSD over augmented clips.

        Args:
            features: Boundary features of the augmented clips.
            segments: (N, 3, 2) first and second part of the cut action and the
                inserted background, in sampled frames.
        """
        regions = self.regions.segment_regions(segments.to(features.frame_level.device))
        num_frames = features.frame_level.shape[2]
        pooled = [
            # Positions of the level, not rounded again: pooling truncates.
            boundary_max_pooling(feature, regions * (feature.shape[2] / num_frames))
            for feature in features
        ]
        return self.loss_consistency(pooled[0], pooled[1:])

    def predict(
        self,
        features: NeckFeatures,
        coarse: CoarseOutputs,
        data_samples: Sequence[ActionDataSample],
        test_cfg: dict,
    ) -> tuple[list[InstanceData], dict[str, Tensor]]:
        """Detections of a batch, before NMS; see :meth:`predict_by_feat`.

        Returns:
            Per clip what was found, and the :func:`raw_outputs` of the batch.
        """
        raw = raw_outputs(coarse, self(features, coarse))
        num_frames = features.frames.shape[2]
        return self.predict_by_feat(raw, num_frames, data_samples, test_cfg), raw

    def decode(self, raw: dict[str, Tensor], num_frames: int) -> tuple[Tensor, Tensor]:
        """Segments and scores of all locations (eq. 13), without any threshold.

        Args:
            raw: See :func:`raw_outputs`.
            num_frames: Frames T of the clip; segments are clamped to [0, T].

        Returns:
            segments (N, P, 2) in sampled frames of the clip and scores (N, P, K)
            without background.
        """
        segments = self.coder.decode(
            raw['points'],
            raw['coarse_distances'].float(),
            raw['refine_offsets'].float(),
            num_frames,
        )
        coarse, refined = (
            logits.sigmoid() if self.use_sigmoid else logits.softmax(-1)[..., :-1]
            for logits in (raw['coarse_logits'].float(), raw['refine_logits'].float())
        )
        scores = 0.5 * (coarse + refined)
        if self.quality_over is not None:
            scores = scores * raw['quality_logits'].float().sigmoid()[..., None]
        return segments, scores

    def predict_by_feat(
        self,
        raw: dict[str, Tensor],
        num_frames: int,
        data_samples: Sequence[ActionDataSample],
        test_cfg: dict,
        segments: Tensor | None = None,
    ) -> list[InstanceData]:
        """Detections of a batch from what both heads say, before NMS.

        Args:
            raw: See :func:`raw_outputs`.
            num_frames: Frames T of the clip.
            data_samples: N data samples with the metainfo ``window_offset``,
                ``sample_fps`` and optionally ``video_scores``.
            test_cfg: With ``score_thr``.
            segments: (N, P, 2) in sampled frames of the clip, in the place of those
                that ``raw`` describes.

        Returns:
            Per clip ``segments`` (S, 2) in seconds of the video, ``scores`` (S,) and
            ``labels`` (S,), see :func:`select_detections`.
        """
        with torch.autocast(raw['points'].device.type, enabled=False):
            decoded, scores = self.decode(raw, num_frames)
        clips = (decoded if segments is None else segments, scores, data_samples)
        return [select_detections(*clip, test_cfg) for clip in zip(*clips, strict=True)]
