"""The neck: the pyramid over the backbone maps, RFP, STT, the frame-level feature."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import torch
import torch.nn.functional as F
from mmaction.registry import MODELS
from mmengine.model import BaseModule
from torch import Tensor, nn

from ..layers import ConvNormReLU1d


class NeckFeatures(NamedTuple):
    """What the neck hands to the heads.

    Attributes:
        pyramid: f, L levels (N, C', T_l).
        context: f_l of STT, L levels (N, C', T_l), or ``None`` without STT.
        frame_level: f_a^c (N, C', T).
        frames: (N, C, T, H, W) normalised frames, read by FSA.
        tokens: (N, T, Z, E) tokens that STT and FSA share, or ``None``: each has its
            own.
        foreground: f_a^r of FSA (N, C', T), which the detector adds; ``None`` without.
    """

    pyramid: tuple[Tensor, ...]
    context: tuple[Tensor, ...] | None
    frame_level: Tensor
    frames: Tensor
    tokens: Tensor | None = None
    foreground: Tensor | None = None


class SpatialCollapse(nn.Module):
    """3-D convolution with a kernel of H x W: (N, C, T, H, W) -> (N, C', T)."""

    def __init__(
        self, in_channels: int, out_channels: int, spatial_size: int, num_groups: int
    ) -> None:
        super().__init__()
        self.conv = nn.Conv3d(in_channels, out_channels, (1, *[spatial_size] * 2))
        self.norm = nn.GroupNorm(num_groups, out_channels)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, T, H, W) -> (N, C', T)."""
        # A kernel as large as the map is a matrix product over its cells, which is
        # ten times as fast as a convolution on a CPU.
        cells = x.transpose(1, 2).flatten(2)  # (N, T, C*H*W)
        sequence = F.linear(cells, self.conv.weight.flatten(1), self.conv.bias)
        return F.relu(self.norm(sequence.transpose(1, 2)))


@MODELS.register_module()
class TemporalPyramid(BaseModule):
    """Temporal feature pyramid over the backbone maps (Sec. III-B, following AFSD).

    The first levels are backbone maps whose space is collapsed by one convolution;
    the remaining levels halve the length of the level before.

    Args:
        in_channels: Channels of each backbone map, finest first.
        spatial_sizes: Side of each backbone map in cells: crop size over spatial
            stride, (6, 3) for Mixed_4f and Mixed_5c at 96 pixels.
        out_channels: Channels C' of every level.
        num_levels: Number L of levels.
        num_groups: Groups of the group normalisation.
        init_cfg: MMEngine initialisation config.
    """

    def __init__(
        self,
        in_channels: Sequence[int] = (832, 1024),
        spatial_sizes: Sequence[int] = (6, 3),
        out_channels: int = 512,
        num_levels: int = 6,
        num_groups: int = 32,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        if len(in_channels) != len(spatial_sizes) or num_levels < len(in_channels):
            raise ValueError(
                f'TemporalPyramid: in_channels={list(in_channels)}, spatial_sizes='
                f'{list(spatial_sizes)} and num_levels={num_levels} do not fit: one '
                'size per map, and at least as many levels as maps'
            )
        self.maps = list(zip(in_channels, spatial_sizes, strict=True))
        self.collapses = nn.ModuleList(
            SpatialCollapse(channels, out_channels, size, num_groups)
            for channels, size in self.maps
        )
        self.downsamples = nn.ModuleList(
            ConvNormReLU1d(out_channels, out_channels, 3, 2, num_groups)
            for _ in range(num_levels - len(in_channels))
        )

    def forward(self, feats: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Builds the levels.

        Args:
            feats: Backbone maps (N, C_i, T_i, H_i, W_i), finest first.

        Returns:
            L levels (N, C', T_l).

        Raises:
            ValueError: A map has other channels or another size than configured.
        """
        if len(feats) != len(self.maps):
            raise ValueError(
                f'the backbone returns {len(feats)} maps, TemporalPyramid is '
                f'configured for {len(self.maps)}: let backbone.out_indices and '
                'neck.pyramid.in_channels agree'
            )
        levels = []
        for i, (x, collapse) in enumerate(zip(feats, self.collapses, strict=True)):
            (_, found, _, height, width), (channels, size) = x.shape, self.maps[i]
            if (found, height, width) != (channels, size, size):
                raise ValueError(
                    f'backbone map {i} has {found} channels and {height}x{width} '
                    f'cells, but neck.pyramid says in_channels[{i}]={channels}, '
                    f'spatial_sizes[{i}]={size}; spatial_sizes is the crop size '
                    'divided by the spatial stride of the map (16 for Mixed_4f, 32 for '
                    'Mixed_5c)'
                )
            levels.append(collapse(x))
        for downsample in self.downsamples:
            levels.append(downsample(levels[-1]))
        return tuple(levels)


@MODELS.register_module()
class RefinedFeaturePyramid(BaseModule):
    """RFP: passes semantics from coarse levels to fine ones (Sec. III-B).

    Each level receives the one above it, ``f_l = p_l + nearest_up(p_{l+1})``, without
    parameters. ``num_merges=1`` adds level 1 into level 0 and nothing else, which is
    what the AFSD baseline does; ``num_merges=0`` leaves the pyramid as it is.

    Args:
        num_merges: How many of the finest levels receive the level above them.
            ``None`` merges all levels.
        cumulative: Pass on what has been received as well, top-down, as an FPN does:
            ``f_l = p_l + nearest_up(f_{l+1})``. The finest level is then the sum of
            all. The text of the paper allows both; docs/benchmark.md compares them.
        gated: Multiply what a level receives by a learned factor of each channel. The
            factors are 1 for the finest level and 0 for the others at the start, as in
            the AFSD baseline.
        channels: Channels C' of the pyramid, of the factors alone.
        num_levels: Number L of levels, of the factors alone.
    """

    def __init__(
        self,
        num_merges: int | None = None,
        cumulative: bool = False,
        gated: bool = False,
        channels: int = 512,
        num_levels: int = 6,
    ) -> None:
        super().__init__()
        if num_merges is not None and num_merges < 0:
            raise ValueError(f'num_merges={num_merges}: use None or a number >= 0')
        self.num_merges = num_merges
        self.cumulative = cumulative
        self.gates = None
        if gated:
            self.gates = nn.Parameter(torch.zeros(num_levels - 1, channels, 1))
            self.gates.data[:1] = 1.0

    def forward(self, levels: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """(N, C', T_l) per level, finest first -> the same shapes."""
        refined = list(levels)
        for i in reversed(range(len(levels) - 1)[: self.num_merges]):
            above = (refined if self.cumulative else levels)[i + 1]
            received = F.interpolate(above, size=refined[i].shape[-1])
            gate = 1.0 if self.gates is None else self.gates[i]
            refined[i] = refined[i] + gate * received
        return tuple(refined)


@MODELS.register_module()
class FrameLevelFeature(BaseModule):
    """The frame-level feature f_a^c: the finest level, one column a frame.

    The paper says "linear interpolate" where AFSD takes the nearest position; both
    are offered. Three convolution units follow, as in AFSD.

    Args:
        channels: Channels C' of the pyramid.
        interpolation: ``'linear'`` or ``'nearest'``.
        num_groups: Groups of the group normalisation.
        init_cfg: MMEngine initialisation config.
    """

    def __init__(
        self,
        channels: int = 512,
        interpolation: str = 'linear',
        num_groups: int = 32,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        if interpolation not in ('linear', 'nearest'):
            raise ValueError(
                f"interpolation={interpolation!r}: choose 'linear' or 'nearest'"
            )
        self.interpolation = interpolation
        self.units = nn.Sequential(
            *(ConvNormReLU1d(channels, channels, k, 1, num_groups) for k in (3, 3, 1))
        )

    def forward(self, finest: Tensor, num_frames: int) -> Tensor:
        """(N, C', T_0) -> (N, C', T), T = ``num_frames``."""
        return self.units(
            F.interpolate(finest, size=num_frames, mode=self.interpolation)
        )


@MODELS.register_module()
class MultiTemporalScaleNeck(BaseModule):
    """Pyramid, RFP, STT and the frame-level feature, joined (Fig. 2).

    Args:
        pyramid: Config of :class:`TemporalPyramid`.
        frame_feature: Config of :class:`FrameLevelFeature`.
        rfp: Config of :class:`RefinedFeaturePyramid`; ``None`` switches it off.
        stt: Config of :class:`SpatialTemporalTransformer`; ``None`` switches it off.
        tokens: Config of the embedding whose tokens STT and FSA share, such as
            :class:`~mmtal_mts.models.layers.TubeletEmbedding`; ``None``: each embeds
            patches by itself, as in eq. 1 and 5.
        init_cfg: MMEngine initialisation config.
    """

    def __init__(
        self,
        pyramid: dict,
        frame_feature: dict,
        rfp: dict | None = None,
        stt: dict | None = None,
        tokens: dict | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        self.pyramid = MODELS.build(pyramid)
        self.frame_feature = MODELS.build(frame_feature)
        self.rfp = None if rfp is None else MODELS.build(rfp)
        self.stt = None
        if stt is not None:
            self.stt = MODELS.build(dict(stt, own_embedding=tokens is None))
        self.tokens = None if tokens is None else MODELS.build(tokens)

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
        lengths = [x.shape[-1] for x in levels]
        fits = all(num_frames % length == 0 for length in lengths)
        if not fits or any(a != 2 * b for a, b in pairwise(lengths)):
            stride = max(num_frames // lengths[0], 1) * 2 ** (len(lengths) - 1)
            raise ValueError(
                f'a clip of {num_frames} frames gives levels of {lengths} positions; '
                f'clip_len must be a multiple of {stride} for {len(lengths)} levels'
            )
        if self.rfp is not None:
            levels = self.rfp(levels)
        tokens = None if self.tokens is None else self.tokens(frames)
        context = None if self.stt is None else self.stt(frames, tokens)
        if context and (own := [x.shape[-1] for x in context]) != lengths:
            raise ValueError(
                f'STT has levels of {own} positions, the pyramid of {lengths}: let '
                'neck.stt.first_stride and num_levels agree with the pyramid'
            )
        frame_level = self.frame_feature(levels[0], num_frames)
        return NeckFeatures(levels, context, frame_level, frames, tokens)


def fit_neck(neck: dict, backbone: nn.Module, fsa: dict | None = None) -> dict:
    """Fills in what a neck's config leaves to the backbone, and to STT and FSA.

    Args:
        neck: Config of the neck. None as ``pyramid.in_channels``,
            ``pyramid.spatial_sizes`` or ``stt.first_stride`` means: those of the
            backbone.
        backbone: One that has ``maps``, as :class:`~mmtal_mts.models.BackboneAdapter`
            does; any other leaves the config as it is.
        fsa: Config of FSA, which shares the tokens of STT; both have their sizes.

    Returns:
        The config without None at these places, and without tokens that nobody reads.

    Raises:
        ValueError: The config leaves something to a backbone without ``maps``, or STT
            and FSA cannot share tokens.
    """
    neck, maps = copy.deepcopy(neck), getattr(backbone, 'maps', None)
    for part, key, of_maps in (
        ('pyramid', 'in_channels', lambda: tuple(m.channels for m in maps)),
        ('pyramid', 'spatial_sizes', lambda: tuple(m.size for m in maps)),
        ('stt', 'first_stride', lambda: maps[0].stride),
    ):
        settings = neck.get(part) or {}
        if settings.get(key, 'absent') is not None:
            continue
        if maps is None:
            raise ValueError(
                f'neck.{part}.{key} is None, but {type(backbone).__name__} does not '
                'tell its maps: give the values, or put the backbone into a '
                'BackboneAdapter'
            )
        settings[key] = of_maps()
    if (rfp := neck.get('rfp')) and rfp.get('gated'):
        names = dict(out_channels='channels', num_levels='num_levels')
        rfp.update({names[k]: v for k, v in neck['pyramid'].items() if k in names})
    neck['tokens'] = _fit_tokens(neck.get('tokens'), neck.get('stt'), fsa)
    return neck


def _fit_tokens(tokens: dict | None, stt: dict | None, fsa: dict | None) -> dict | None:
    """The config of the tokens with the sizes of those that read them."""
    named = ('neck.stt', stt), ('refine_head.fsa', fsa)
    readers = {name: reader for name, reader in named if reader}
    if not tokens or not readers:
        return None
    fitted = {}
    for key in ('patch_size', 'crop_size', 'in_channels', 'embed_dims'):
        sizes = {name: reader[key] for name, reader in readers.items() if key in reader}
        if len({*sizes.values()}) > 1:
            raise ValueError(
                f'{key} is {" and ".join(f"{v} in {n}" for n, v in sizes.items())}, '
                'but they share tokens: let them agree, or set neck.tokens=None'
            )
        if sizes:
            fitted[key] = next(iter(sizes.values()))
    return fitted | tokens


def fit_warmup_head(head: dict, backbone: nn.Module) -> dict:
    """Fills in ``in_channels`` of a ``DenseClassificationHead`` where it is None."""
    if head.get('in_channels', 0) is not None:
        return head
    return dict(head, in_channels=backbone.maps[head.get('feat_index', 0)].channels)
