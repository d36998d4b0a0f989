"""The head that trains a backbone in its warm-up, and STT and FSA."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from mmaction.registry import MODELS
from mmengine.model import BaseModule
from mmengine.structures import InstanceData
from torch import Tensor, nn

from ..losses.utils import mean_count
from ..task_modules import SegmentAssigner, SegmentPointGenerator


@MODELS.register_module()
class DenseClassificationHead(BaseModule):
    """Classifies every temporal position of one backbone map inside an action.

    The paper starts from a backbone that Kinetics has taught to tell motions apart.
    Where no such weights fit (another width, other frames), this head teaches the
    backbone from the clips and annotations of the data set at hand: the mean over
    space of one map, a linear layer, cross entropy over the K classes at the
    positions inside an action. It is no part of the detector, see
    :class:`~mmtal_mts.engine.BackboneWarmupHook`. As ``auxiliary_head`` of the detector
    it reads f_l and f_a^r likewise, as maps of one cell.

    Args:
        num_classes: K.
        in_channels: Channels of the map.
        feat_index: Which of the backbone's maps, finest first.
        with_background: Whether positions outside actions count as well, as one more
            class.
        loss_cls: Config of the classification loss.
        init_cfg: MMEngine initialisation config.
    """

    def __init__(
        self,
        num_classes: int,
        in_channels: int,
        feat_index: int = 0,
        with_background: bool = False,
        loss_cls: dict | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        self.num_classes = num_classes
        self.feat_index = feat_index
        self.with_background = with_background
        self.fc = nn.Linear(in_channels, num_classes + with_background)
        self.loss_cls = MODELS.build(loss_cls or dict(type='CrossEntropyLoss'))
        self.assigner = SegmentAssigner()
        self.point_generator = SegmentPointGenerator()

    def forward(self, feats: Sequence[Tensor]) -> Tensor:
        """Backbone maps (N, C_i, T_i, H_i, W_i) -> logits (N, T_i, K).

        Raises:
            ValueError: The map has other channels than configured.
        """
        x = feats[self.feat_index]
        if x.shape[1] != self.fc.in_features:
            raise ValueError(
                f'backbone map {self.feat_index} has {x.shape[1]} channels, but '
                f'warmup_head.in_channels={self.fc.in_features}: let them agree'
            )
        return self.fc(x.mean(dim=(3, 4)).mT).float()

    def loss(
        self,
        feats: Sequence[Tensor],
        num_frames: int,
        gt_instances: Sequence[InstanceData],
    ) -> dict[str, Tensor]:
        """Cross entropy at the positions inside an action.

        Args:
            feats: Backbone maps (N, C_i, T_i, H_i, W_i).
            num_frames: Frames T of the clips.
            gt_instances: Per clip ``segments`` (G, 2) in sampled frames and
                ``labels`` (G,).

        Returns:
            ``loss_warmup_cls``, and ``warmup_acc``, the share of these positions
            that is classified right; both 0 for clips without an action.
        """
        logits = self(feats)
        points = self.point_generator.level_points(
            [logits.shape[1]], num_frames, logits.device
        )
        assign = partial(self.assigner.assign, points, num_classes=self.num_classes)
        found = [assign(gt.segments, gt.labels)[0] for gt in gt_instances]
        labels = torch.stack(found)  # (N, T_i)
        inside = labels < self.fc.out_features
        # All processes take part, also those without an action.
        count = inside.sum()
        share = count / mean_count(count)
        if count:
            logits, labels = logits[inside], labels[inside]
            loss = self.loss_cls(logits, labels) * share
            accuracy = (logits.argmax(dim=1) == labels).float().mean() * share
        else:
            loss, accuracy = logits.sum() * 0.0, logits.new_zeros(())
        return dict(loss_warmup_cls=loss, warmup_acc=accuracy)
