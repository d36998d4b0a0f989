"""Any backbone of MMAction2 in front of the TAL-MTS neck."""

from __future__ import annotations

import copy
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

from .adapted_maps import plan_maps
from .pretrained import load_pretrained


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
        chunk_len: Cut the clip into chunks of this many frames that pass the backbone
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
        self.name = type(self.backbone).__name__
        self.in_channels = in_channels
        self.chunk_len = chunk_len
        self.pretrained = pretrained
        self.with_cp = with_cp
        self.layers = tuple(layers or ())
        self.frozen = ('',) if frozen is True else tuple(frozen or ())
        self._check_names(layers=self.layers, frozen=self.frozen)
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
        clip = (1, in_channels, clip_len, crop_size, crop_size)
        shapes, unused = self._probe(clip)
        self.maps = plan_maps(
            self.name, shapes, clip_len, first_stride, max_size, outputs
        )
        for key in unused:
            # Or distributed training would wait for their gradients.
            self.backbone.get_parameter(key).requires_grad_(False)
        self._freeze()
        self.report = self._explain(clip, unused)
        MMLogger.get_current_instance().info(self.report)

    @property
    def out_channels(self) -> tuple[int, ...]:
        """Channels of the returned maps."""
        return tuple(m.channels for m in self.maps)

    def init_weights(self) -> None:
        """Initialises the backbone, then loads ``pretrained``.

        Raises:
            UserError: The file is unusable or does not fit the backbone.
        """
        super().init_weights()
        if self.pretrained is not None:
            load_pretrained(self.backbone, self.pretrained)

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
        if self.with_cp and self.training:
            parts = [
                checkpoint(self._run, self.backbone, chunk, use_reentrant=False)
                for chunk in frames.split(self.chunk_len, dim=2)
            ]
            found = [torch.cat(chunks, dim=2) for chunks in zip(*parts, strict=True)]
        else:
            found = self._run(self.backbone, frames)
        return tuple(
            found[m.index]
            if m.kernel == (1, 1, 1)
            else F.avg_pool3d(found[m.index], m.kernel)
            for m in self.maps
        )

    def _run(self, backbone: nn.Module, frames: Tensor) -> list[Tensor]:
        """All maps of the backbone as (N, C_i, T_i, H_i, W_i)."""
        n, _, t = frames.shape[:3]
        length = t if self.chunk_len is None else self.chunk_len
        if self.per_frame:
            frames = frames.transpose(1, 2).flatten(0, 1)  # (N*T, C, H, W)
        elif t % length:
            raise ValueError(
                f'the clip has {t} frames, no multiple of chunk_len={length} of '
                'BackboneAdapter'
            )
        elif length < t:
            chunks = frames.unflatten(2, (t // length, length))
            frames = chunks.transpose(1, 2).flatten(0, 1)  # (N*chunks, C, t, H, W)
        found = _run_layers(backbone, self.layers, frames)
        return [
            _join_chunks(x, n, self.per_frame, self.name)
            for x in _usable_maps(found, self.name)
        ]

    def _probe(self, clip: Sequence[int]) -> tuple[list[tuple[int, ...]], list[str]]:
        """Finds whether frames go in one by one, and what :meth:`_dry_run` returns."""
        errors = []
        for per_frame in (False, True):
            self.per_frame = per_frame
            # Without values (torch's meta device) this takes milliseconds for any
            # size. A backbone that looks at values may work with them; if not, that
            # error is the one to tell.
            for device in ('meta', 'cpu'):
                try:
                    return self._dry_run(clip, device)
                # Libraries raise all kinds of errors about a shape.
                except Exception as error:
                    reason = f'{type(error).__name__}: {error}'.splitlines()[0]
            errors.append(reason)
        _, _, t, h, w = clip
        raise ValueError(
            f'{self.name} takes neither a clip of {t} frames of {h}x{w} pixels '
            f'({errors[0]}) nor its frames one by one ({errors[1]}). A backbone '
            'that was built for a number of frames needs it as chunk_len of '
            'BackboneAdapter (num_segments of TSM must divide clip_len); for a short '
            'clip or small frames take earlier layers by layers=(...), or enlarge '
            'clip_len or crop_size'
        )

    def _dry_run(
        self, clip: Sequence[int], device: str
    ) -> tuple[list[tuple[int, ...]], list[str]]:
        """Runs a copy forward and backward: shapes of the maps, unused parameters."""
        twin = copy.deepcopy(self.backbone)
        twin.eval()  # some backbones of MMAction2 return None here
        twin.to(device)
        for module in twin.modules():
            if getattr(module, 'with_cp', False):
                module.with_cp = False
            for name, value in list(vars(module).items()):
                # Neither parameter nor buffer, so that .to() does not know it.
                if isinstance(value, Tensor):
                    setattr(module, name, value.to(device))
        maps = self._run(twin, torch.zeros(*clip, device=device))
        wanted = {n: p for n, p in twin.named_parameters() if p.requires_grad}
        if wanted:
            sum(x.sum() for x in maps).backward()
        unused = [name for name, p in wanted.items() if p.grad is None]
        return [tuple(x.shape) for x in maps], unused

    def _check_names(self, **fields: Sequence[str]) -> None:
        known = dict(self.backbone.named_modules())
        for field, names in fields.items():
            unknown = [name for name in names if name not in known]
            if unknown:
                raise ValueError(
                    f'{field}={list(names)} of BackboneAdapter: {self.name} has no '
                    f'{unknown}; it has '
                    f'{[name for name, _ in self.backbone.named_children()]}'
                )

    def _freeze(self) -> None:
        for name in self.frozen:
            self.backbone.get_submodule(name).eval()
            self.backbone.get_submodule(name).requires_grad_(False)

    def _explain(self, clip: Sequence[int], unused: Sequence[str]) -> str:
        _, _, t, h, w = clip
        how = 'whole'
        if self.per_frame:
            how = 'frame by frame'
        elif self.chunk_len is not None:
            how = f'in {t // self.chunk_len} chunks of {self.chunk_len} frames'
        lines = [
            f'BackboneAdapter: {self.name} takes a clip of {t} frames {h}x{w} {how}'
        ]
        lines += [f'  level {i}: {m.explain(t)}' for i, m in enumerate(self.maps)]
        if self.frozen:
            what = 'everything' if '' in self.frozen else ', '.join(self.frozen)
            lines.append(f'  frozen: {what}')
        if unused:
            lines.append(
                f'  {len(unused)} tensors are in no map and do not train: '
                f'{", ".join(unused[:4])}{", ..." if len(unused) > 4 else ""}'
            )
        return '\n'.join(lines)


def _usable_maps(found: Any, name: str) -> list[Tensor]:
    """The maps of what a backbone returned; vectors only where there are no maps."""
    tensors: list[Tensor] = []
    stack = [found]
    while stack:
        item = stack.pop(0)
        if isinstance(item, (tuple, list)):
            stack[:0] = item
        elif isinstance(item, Tensor) and item.ndim in (2, 4, 5):
            tensors.append(item)
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
    if not tensors:
        raise ValueError(f'{name} returns no tensor')
    return [x for x in tensors if x.ndim > 2] or tensors


def _join_chunks(x: Tensor, num_clips: int, per_frame: bool, name: str) -> Tensor:
    """Maps or vectors of chunks, or of single frames -> (N, C, T', h, w)."""
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


class _Enough(Exception):
    """All wanted layers have run; what follows is not needed."""


def _run_layers(backbone: nn.Module, names: Sequence[str], clips: Tensor) -> Any:
    """What the backbone returns, or the outputs of some of its layers."""
    if not names:
        return backbone(clips)
    found: dict[str, Tensor] = {}

    def keep(name: str, output: Tensor) -> None:
        found[name] = output
        if len(found) == len(names):
            raise _Enough

    # Only while the forward pass runs: activation checkpointing may run a layer
    # again in the backward pass.
    handles = [
        backbone.get_submodule(name).register_forward_hook(
            lambda module, inputs, output, name=name: keep(name, output)
        )
        for name in names
    ]
    try:
        backbone(clips)
    except _Enough:
        pass
    finally:
        for handle in handles:
            handle.remove()
    missing = [name for name in names if name not in found]
    if missing:
        raise ValueError(
            f'layers={list(names)}: {missing} did not run in the forward pass'
        )
    return [found[name] for name in names]
