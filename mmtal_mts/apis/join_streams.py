"""One checkpoint from the checkpoints of two networks."""

from __future__ import annotations

import torch
from mmaction.registry import MODELS
from mmengine.config import Config
from mmengine.registry import init_default_scope

from mmtal_mts.utils import UserError
from mmtal_mts.utils.checkpoint import check_fit, load_checkpoint, load_weights
from mmtal_mts.utils.io import atomic_write


def join_streams(cfg: Config, rgb: str, flow: str, out: str) -> None:
    """Writes a checkpoint of a two-stream config.

    Args:
        cfg: Config whose model is a
            :class:`~mmtal_mts.models.TwoStreamTALMTS`.
        rgb: Checkpoint of the network of RGB.
        flow: Checkpoint of the network of flow.
        out: Checkpoint to write; holds weights only.

    Raises:
        UserError: If a checkpoint is not one of that network, or both were trained
            with other classes.
    """
    init_default_scope(cfg.get('default_scope', 'mmaction'))
    if cfg.model.get('type') != 'TwoStreamTALMTS':
        raise UserError(
            f'config {cfg.filename}: model.type is {cfg.model.get("type")!r}, but only '
            "'TwoStreamTALMTS' has two streams"
        )
    model = MODELS.build(cfg.model)
    weights, metas = {}, []
    for name, path in (('rgb', rgb), ('flow', flow)):
        found = load_weights(path)
        check_fit(getattr(model, name).state_dict(), found, path)
        weights.update({f'{name}.{key}': value for key, value in found.items()})
        metas.append(load_checkpoint(path).get('meta') or {})
    classes = [(meta.get('dataset_meta') or {}).get('classes') for meta in metas]
    if None not in classes and list(classes[0]) != list(classes[1]):
        raise UserError(
            f'{rgb} was trained with the classes {list(classes[0])}, {flow} with '
            f'{list(classes[1])}; both need the same order'
        )
    meta = dict(cfg=cfg.pretty_text, dataset_meta=metas[0].get('dataset_meta'))
    with atomic_write(out) as temporary:
        torch.save(dict(meta=meta, state_dict=weights), temporary)
