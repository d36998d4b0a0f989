"""The neck as a whole, and what its config leaves to the backbone."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from mmaction.registry import MODELS
from mmengine.model import BaseModule
from torch import Tensor, nn


class NeckFeatures(NamedTuple):
    """What the neck hands to the heads.

    Attributes:
        pyramid: f, L levels (N, C', T_l).
        context: f_l of STT, L levels (N, C', T_l), or ``None`` without STT.
        frame_level: f_a^c (N, C', T).
        frames: (N, C, T, H, W) normalised frames, read by FSA.
    """

    pyramid: tuple[Tensor, ...]
    context: tuple[Tensor, ...] | None
    frame_level: Tensor
    frames: Tensor


@MODELS.register_module()
class MultiTemporalScaleNeck(BaseModule):
    """Pyramid, RFP, STT and the frame-level feature, joined (Fig. 2).

    Args:
        pyramid: Config of :class:`TemporalPyramid`.
        frame_feature: Config of :class:`FrameLevelFeature`.
        rfp: Config of :class:`RefinedFeaturePyramid`; ``None`` switches it off.
        stt: Config of :class:`SpatialTemporalTransformer`; ``None`` switches it off.
        init_cfg: MMEngine initialisation config.
    """

    def __init__(
        self,
        pyramid: dict,
        frame_feature: dict,
        rfp: dict | None = None,
        stt: dict | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        self.pyramid = MODELS.build(pyramid)
        self.frame_feature = MODELS.build(frame_feature)
        self.rfp = None if rfp is None else MODELS.build(rfp)
        self.stt = None if stt is None else MODELS.build(stt)

    def forward(self, feats: Sequence[Tensor], frames: Tensor) -> NeckFeatures:
        """Computes the features of every temporal scale.

        Args:
            feats: Backbone maps (N, C_i, T_i, H_i, W_i), finest first.
            frames: (N, C, T, H, W) normalised frames, read by STT.

        Raises:
            ValueError: The clip does not divide by the strides of the pyramid.
        """
        num_frames = frames.shape[2]
        levels = self.pyramid(feats)
        self._check_lengths(levels, num_frames)
        if self.rfp is not None:
            levels = self.rfp(levels)
        context = None
        if self.stt is not None:
            context = self.stt(frames)
            own, wanted = ([x.shape[-1] for x in group] for group in (context, levels))
            if own != wanted:
                raise ValueError(
                    f'STT has levels of {own} positions, the pyramid of {wanted}: let '
                    'neck.stt.first_stride and num_levels agree with the pyramid'
                )
        frame_level = self.frame_feature(levels[0], num_frames)
        return NeckFeatures(levels, context, frame_level, frames)

    @staticmethod
    def _check_lengths(levels: Sequence[Tensor], num_frames: int) -> None:
        lengths = [x.shape[-1] for x in levels]
        fits = all(num_frames % length == 0 for length in lengths)
        if not fits or any(a != 2 * b for a, b in pairwise(lengths)):
            stride = max(num_frames // lengths[0], 1) * 2 ** (len(lengths) - 1)
            raise ValueError(
                f'a clip of {num_frames} frames gives levels of {lengths} positions; '
                f'clip_len must be a multiple of {stride} for {len(lengths)} levels'
            )


def fit_neck(neck: dict, backbone: nn.Module) -> dict:
    """Fills in what a neck's config leaves to the backbone.

    Args:
        neck: Config of the neck. None as ``pyramid.in_channels``,
            ``pyramid.spatial_sizes`` or ``stt.first_stride`` means: those of the
            backbone.
        backbone: One that tells its ``maps``, as
            :class:`~mmtal_mts.models.BackboneAdapter` does; any other leaves the
            config as it is.

    Returns:
        The config without None at these places.

    Raises:
        ValueError: The config leaves something to a backbone that does not tell.
    """
    neck = copy.deepcopy(neck)
    maps = getattr(backbone, 'maps', None)
    told = maps and dict(
        in_channels=tuple(m.channels for m in maps),
        spatial_sizes=tuple(m.size for m in maps),
        first_stride=maps[0].stride,
    )
    for part, key in (
        ('pyramid', 'in_channels'),
        ('pyramid', 'spatial_sizes'),
        ('stt', 'first_stride'),
    ):
        settings = neck.get(part) or {}
        if key not in settings or settings[key] is not None:
            continue
        if told is None:
            raise ValueError(
                f'neck.{part}.{key} is None, but {type(backbone).__name__} does not '
                'tell its maps: give the values, or put the backbone into a '
                'BackboneAdapter'
            )
        settings[key] = told[key]
    return neck


def fit_warmup_head(head: dict, backbone: nn.Module) -> dict:
    """Fills in ``in_channels`` of a ``DenseClassificationHead`` where it is None."""
    if head.get('in_channels', 0) is not None:
        return head
    return dict(head, in_channels=backbone.maps[head.get('feat_index', 0)].channels)
