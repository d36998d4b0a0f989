"""Any backbone of MMAction2 in front of the TAL-MTS neck."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from mmaction.registry import MODELS
from mmengine.logging import MMLogger
from mmengine.model import BaseModule
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint

from ..utils.backbone_weights import load_backbone_weights
from .adapted_maps import AdaptedMap, MapFacts, plan_maps
from .dry_run import dry_run, run_layers


@MODELS.register_module()
class BackboneAdapter(BaseModule):
    """Lets any backbone of MMAction2 feed the temporal pyramid.

    A dry run of one clip finds what the backbone takes (clips, or single frames) and
    returns: channels, frames per position, cells on a side. Map i of the pyramid has
    one position per ``first_stride * 2**i`` frames; finer maps are averaged over time
    until they have, and over space until they have at most ``max_size`` cells on a
    side. The neck takes its ``in_channels``, ``spatial_sizes`` and ``first_stride``
    from :attr:`maps` where they are None. The log says what was found and done.

    Args:
        backbone: Config of the backbone. Its own options (``frozen_stages``,
            ``norm_eval``, ``with_cp``, ``out_indices``) work as always.
        clip_len: Frames T of a clip.
        crop_size: Side of the frames in pixels.
        in_channels: Channels of a frame.
        first_stride: Frames per position of the finest map; a power of two. None:
            as few as the backbone allows.
        chunk_len: Cut the clip into chunks of so many frames that pass the backbone
            one by one, for backbones of a fixed or short length (VideoMAE: 16). None:
            the whole clip at once.
        layers: Names of submodules whose outputs are the maps, e.g.
            ``('conv4b', 'conv5b')``; layers after the last of them do not run. None:
            what the backbone returns.
        outputs: Which of these maps to use, by index. None: all.
        max_size: Most cells on a side that a map keeps.
        pretrained: File or URL of weights: of a recogniser that MMAction2 trained, or
            of the backbone alone. None: the backbone's own initialisation.
        frozen: Names of submodules that stay as they are, for backbones without
            ``frozen_stages``; True for all.
        with_cp: Activation checkpointing for backbones that have no such option: the
            activations of a chunk are computed again in the backward pass.
        init_cfg: MMEngine initialisation config.

    Attributes:
        maps (tuple[MapFacts, ...]): What :meth:`forward` returns.
        report (str): What was found and is done, as the log has it.

    Raises:
        ValueError: The backbone cannot take such clips, returns nothing usable, or is
            too coarse in time.
    """

    def __init__(
        self,
        backbone: dict,
        clip_len: int,
        crop_size: int,
        in_channels: int = 3,
        first_stride: int | None = 4,
        chunk_len: int | None = None,
        layers: Sequence[str] | None = None,
        outputs: Sequence[int] | None = None,
        max_size: int = 8,
        pretrained: str | None = None,
        frozen: bool | Sequence[str] = (),
        with_cp: bool = False,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        self.backbone = MODELS.build(backbone)
        self.in_channels = in_channels
        self.chunk_len = chunk_len
        self.pretrained = pretrained
        self.with_cp = with_cp
        self.layers = None if layers is None else tuple(layers)
        self._check_names(self.layers or (), 'layers')
        self.frozen = ('',) if frozen is True else tuple(frozen or ())
        self._check_names(self.frozen, 'frozen')
        if chunk_len is not None and (chunk_len < 1 or clip_len % chunk_len):
            raise ValueError(
                f'chunk_len={chunk_len} of BackboneAdapter must divide '
                f'clip_len={clip_len}'
            )
        if with_cp and chunk_len is None:
            raise ValueError(
                'with_cp=True of BackboneAdapter computes chunk after chunk again and '
                'needs chunk_len; or set with_cp=True of the backbone, if it has it'
            )
        name = type(self.backbone).__name__
        clip = (1, in_channels, clip_len, crop_size, crop_size)
        self.per_frame, shapes, unused = self._try(name, clip)
        self._plan = plan_maps(name, shapes, clip_len, first_stride, max_size, outputs)
        self.maps = tuple(
            MapFacts(m.channels, clip_len // m.length, m.size) for m in self._plan
        )
        for key in unused:
            # Or distributed training would wait for their gradients.
            self.backbone.get_parameter(key).requires_grad_(False)
        self._freeze()
        self.report = self._explain(name, clip, unused)
        MMLogger.get_current_instance().info(self.report)

    @property
    def out_channels(self) -> tuple[int, ...]:
        """Channels of the returned maps."""
        return tuple(m.channels for m in self.maps)

    def init_weights(self) -> None:
        """Initialises the backbone, then loads ``pretrained``.

        Raises:
            ValueError: The file does not fit the backbone.
        """
        super().init_weights()
        if self.pretrained is not None:
            load_backbone_weights(self.backbone, self.pretrained)

    def train(self, mode: bool = True) -> BackboneAdapter:
        """Sets the mode; what is ``frozen`` stays in evaluation mode.

        Raises:
            ValueError: ``with_cp`` with batch norms that would be updated twice.
        """
        super().train(mode)
        self._freeze()
        if mode and self.with_cp:
            for key, module in self.backbone.named_modules():
                if isinstance(module, _BatchNorm) and module.training:
                    raise ValueError(
                        f'with_cp=True of BackboneAdapter runs {key} of the backbone '
                        'twice, which would update its running statistics once more; '
                        'set norm_eval=True of the backbone'
                    )
        return self

    def forward(self, frames: Tensor) -> tuple[Tensor, ...]:
        """Runs the backbone and pools its maps.

        Args:
            frames: (N, C, T, H, W) normalised frames.

        Returns:
            Maps (N, C_i, T_i, H_i, W_i) as in :attr:`maps`, finest first.

        Raises:
            ValueError: The clip does not divide into chunks.
        """
        if not self.with_cp or not self.training:
            maps = self._maps(self.backbone, frames)
        else:
            parts = [
                checkpoint(self._maps, self.backbone, chunk, use_reentrant=False)
                for chunk in frames.split(self.chunk_len, dim=2)
            ]
            maps = [torch.cat(chunks, dim=2) for chunks in zip(*parts)]
        return tuple(pool_map(maps[m.index], m) for m in self._plan)

    def _maps(self, backbone: nn.Module, frames: Tensor) -> list[Tensor]:
        """All maps of the backbone as (N, C_i, T_i, H_i, W_i)."""
        n, _, t = frames.shape[:3]
        if self.per_frame:
            clips = frames.transpose(1, 2).flatten(0, 1)  # (N*T, C, H, W)
        elif self.chunk_len is None:
            clips = frames
        else:
            if t % self.chunk_len:
                raise ValueError(
                    f'the clip has {t} frames, no multiple of chunk_len='
                    f'{self.chunk_len} of BackboneAdapter'
                )
            chunks = frames.unflatten(2, (t // self.chunk_len, self.chunk_len))
            clips = chunks.transpose(1, 2).flatten(0, 1)  # (N*chunks, C, t, H, W)
        if self.layers is None:
            found = backbone(clips)
        else:
            found = run_layers(backbone, self.layers, clips)
        name = type(backbone).__name__
        return [as_map(x, n, self.per_frame, name) for x in usable(found, name)]

    def _try(
        self, name: str, clip: Sequence[int]
    ) -> tuple[bool, tuple[tuple[int, ...], ...], tuple[str, ...]]:
        """Whether the backbone takes frames one by one, and what it returns."""
        errors = []
        for per_frame in (False, True):
            self.per_frame = per_frame
            try:
                found = dry_run(self.backbone, self._maps, clip)
            # Libraries raise all kinds of errors about a shape.
            except Exception as error:
                errors.append(f'{type(error).__name__}: {error}'.splitlines()[0])
                continue
            return per_frame, found.shapes, found.unused
        _, _, t, h, w = clip
        raise ValueError(
            f'{name} takes neither a clip of {t} frames of {h}x{w} pixels '
            f'({errors[0]}) nor its frames one by one ({errors[1]}). A backbone '
            'that was built for a number of frames needs it as chunk_len of '
            'BackboneAdapter (num_segments of TSM must divide clip_len); for a short '
            'clip or small frames take earlier layers by layers=(...), or enlarge '
            'clip_len or crop_size'
        )

    def _check_names(self, names: Sequence[str], field: str) -> None:
        known = dict(self.backbone.named_modules())
        unknown = [name for name in names if name not in known]
        if unknown:
            raise ValueError(
                f'{field}={list(names)} of BackboneAdapter: '
                f'{type(self.backbone).__name__} has no {unknown}; it has '
                f'{[name for name, _ in self.backbone.named_children()]}'
            )

    def _freeze(self) -> None:
        for name in self.frozen:
            module = self.backbone.get_submodule(name)
            module.eval()
            module.requires_grad_(False)

    def _explain(self, name: str, clip: Sequence[int], unused: Sequence[str]) -> str:
        """What was found and is done, for the log."""
        _, _, t, h, w = clip
        how = 'whole'
        if self.per_frame:
            how = 'frame by frame'
        elif self.chunk_len is not None:
            how = f'in {t // self.chunk_len} chunks of {self.chunk_len} frames'
        lines = [f'BackboneAdapter: {name} takes a clip of {t} frames {h}x{w} {how}']
        lines += [f'  level {i}: {m.explain()}' for i, m in enumerate(self._plan)]
        if self.frozen:
            what = 'everything' if '' in self.frozen else ', '.join(self.frozen)
            lines.append(f'  frozen: {what}')
        if unused:
            lines.append(
                f'  {len(unused)} tensors are in no map and do not train: '
                f'{", ".join(unused[:4])}{", ..." if len(unused) > 4 else ""}'
            )
        return '\n'.join(lines)


def usable(found: Any, name: str) -> list[Tensor]:
    """The maps of whatever a backbone returned.

    Args:
        found: A tensor, or tensors in (nested) sequences.
        name: Of the backbone, for the message.

    Returns:
        The tensors; vectors, such as class tokens, only where there are no maps.

    Raises:
        ValueError: Something else came out.
    """
    flat: list[Tensor] = []

    def walk(item: Any) -> None:
        if isinstance(item, (tuple, list)):
            for part in item:
                walk(part)
        elif isinstance(item, Tensor) and item.ndim in (2, 4, 5):
            flat.append(item)
        elif item is not None:
            what = type(item).__name__
            if isinstance(item, Tensor):
                what = f'tensor of shape {tuple(item.shape)}'
            raise ValueError(
                f'{name} returns a {what}; BackboneAdapter needs maps (N, C, T, H, W), '
                '(N, C, H, W) per frame or vectors (N, C). Take the outputs of some '
                'submodules by layers=(...), or the option of the backbone that '
                'returns maps (VisionTransformer: return_feat_map=True)'
            )

    walk(found)
    if not flat:
        raise ValueError(f'{name} returns no tensor')
    maps = [x for x in flat if x.ndim > 2]
    return maps or flat


def as_map(x: Tensor, num_clips: int, per_frame: bool, name: str) -> Tensor:
    """Brings what came out for chunks or frames into one map per clip.

    Args:
        x: (N * chunks, C, t, h, w), (N * frames, C, h, w) or (N * chunks, C).
        num_clips: N.
        per_frame: Whether frames went in one by one.
        name: Of the backbone, for the message.

    Returns:
        (N, C, T', h, w).

    Raises:
        ValueError: The tensor cannot be a map.
    """
    if x.ndim == 2:
        x = x[:, :, None, None]
    if x.ndim == 5 and per_frame or x.ndim == 4 and not per_frame and x.shape[2] > 1:
        raise ValueError(
            f'{name} returns a tensor of shape {tuple(x.shape)}, which is neither a '
            'map (N, C, T, H, W) of clips nor one (N, C, H, W) of frames'
        )
    if x.ndim == 4:
        x = x[:, :, None]
    # (N*chunks, C, t, h, w) -> (N, C, chunks*t, h, w)
    x = x.unflatten(0, (num_clips, x.shape[0] // num_clips))
    return x.transpose(1, 2).flatten(2, 3)


def pool_map(x: Tensor, plan: AdaptedMap) -> Tensor:
    """Averages a map as planned: (N, C, T', H', W') -> (N, C, T_i, H_i, W_i)."""
    if plan.kernel == (1, 1, 1):
        return x
    return F.avg_pool3d(x, plan.kernel, plan.kernel)
