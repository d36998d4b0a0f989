"""Builds the network of a config with its weights."""

from __future__ import annotations

import os

from mmaction.registry import MODELS
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.runner import load_checkpoint
from torch import nn

from mmtal_mts.utils.checkpoint import check_checkpoint
from mmtal_mts.apis.config import load_config

from .configs import find_config
from .weights import find_weights, local_weights


def load_model(
    model: str | os.PathLike | Config,
    weights: str | os.PathLike | None = None,
    device: str = 'cpu',
) -> nn.Module:
    """Loads a network to work with; to run it on videos see ``TALInferencer``.

    Args:
        model (str | os.PathLike | Config): Name of a model, a config file or a config.
        weights (str | os.PathLike, optional): Checkpoint: a file, or the address of a
            released one. By default the released weights of the model.
        device (str): Where it goes.

    Returns:
        nn.Module: The network in evaluation mode, with the attributes ``cfg``, the
        config, and ``meta``, what its checkpoint says of itself.

    Raises:
        UserError: If the config or the weights are missing, damaged or do not fit.

    Example:
        >>> model = load_model('tal-mts_i3d-tiny_1xb4-128x48x48_synthetic')
    """
    cfg = model if isinstance(model, Config) else load_config(find_config(model))
    path = find_weights(cfg.filename) if weights is None else local_weights(weights)
    init_default_scope(cfg.get('default_scope', 'mmaction'))
    settings = cfg.model.copy()
    for network in (settings, settings.get('rgb', {}), settings.get('flow', {})):
        if 'pretrained' in network.get('backbone', {}):
            # The checkpoint holds the backbone too.
            network['backbone']['pretrained'] = None
    built = MODELS.build(settings)
    check_checkpoint(built, os.fspath(path))
    checkpoint = load_checkpoint(
        built, os.fspath(path), map_location='cpu', logger='silent'
    )
    built.cfg, built.meta = cfg, dict(checkpoint.get('meta') or {})
    return built.to(device).eval()
