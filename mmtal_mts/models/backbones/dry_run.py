"""Runs a backbone once to see what it returns, without computing anything."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn


class DryRun(NamedTuple):
    """What one clip through a backbone shows.

    Attributes:
        shapes: Shape of every map that came out.
        unused: Names of the parameters that no map depends on.
    """

    shapes: tuple[tuple[int, ...], ...]
    unused: tuple[str, ...]


def dry_run(
    backbone: nn.Module,
    run: Callable[[nn.Module, Tensor], Sequence[Tensor]],
    clip_shape: Sequence[int],
) -> DryRun:
    """Sends one clip through a copy of a backbone.

    The copy has shapes but no values (torch's meta device), which takes milliseconds
    for any size. A backbone that looks at values is run for real instead.

    Args:
        backbone: The backbone; it stays as it is.
        run: Called with the copy and a clip; returns its maps.
        clip_shape: Shape of the clip.

    Returns:
        See :class:`DryRun`.

    Raises:
        Exception: Whatever ``run`` raises when run for real.
    """
    try:
        return _run(_without_values(backbone), run, clip_shape, 'meta')
    # What fails without values may work with them; if not, that error is the one
    # to tell.
    except Exception:
        return _run(_copy(backbone), run, clip_shape, 'cpu')


def _run(
    backbone: nn.Module,
    run: Callable[[nn.Module, Tensor], Sequence[Tensor]],
    clip_shape: Sequence[int],
    device: str,
) -> DryRun:
    maps = run(backbone, torch.zeros(*clip_shape, device=device))
    wanted = {n: p for n, p in backbone.named_parameters() if p.requires_grad}
    if wanted:
        sum(x.sum() for x in maps).backward()
    unused = tuple(name for name, p in wanted.items() if p.grad is None)
    return DryRun(tuple(tuple(x.shape) for x in maps), unused)


def _copy(backbone: nn.Module) -> nn.Module:
    """A copy in testing mode that keeps its activations for one backward pass."""
    twin = copy.deepcopy(backbone)
    twin.eval()  # some backbones of MMAction2 return None here
    for module in twin.modules():
        if getattr(module, 'with_cp', False):
            module.with_cp = False
    return twin


def _without_values(backbone: nn.Module) -> nn.Module:
    twin = _copy(backbone)
    twin.to('meta')
    for module in twin.modules():
        for name, value in vars(module).items():
            # Neither parameter nor buffer, so that .to() does not know it.
            if isinstance(value, Tensor):
                setattr(module, name, value.to('meta'))
    return twin


class _Enough(Exception):
    """All wanted layers have run; what follows is not needed."""


def run_layers(
    backbone: nn.Module, names: Sequence[str], clip: Tensor
) -> list[Tensor | Sequence]:
    """Runs a backbone up to the last of some layers.

    Args:
        backbone: The backbone.
        names: Names of submodules, e.g. ``'layer3'`` or ``'blocks.5'``.
        clip: What the backbone takes.

    Returns:
        The outputs of these layers, in the order of ``names``.

    Raises:
        ValueError: A layer was not reached.
    """
    found: dict[str, Tensor] = {}

    def keeper(name: str) -> Callable:
        def keep(module: nn.Module, inputs: tuple, output: Tensor) -> None:
            found[name] = output
            if len(found) == len(names):
                raise _Enough

        return keep

    # Only while the forward pass runs: activation checkpointing may run a layer
    # again in the backward pass.
    handles = [
        backbone.get_submodule(name).register_forward_hook(keeper(name))
        for name in names
    ]
    try:
        backbone(clip)
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
