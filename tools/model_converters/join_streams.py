"""Joins the checkpoints of an RGB and a flow network for a two-stream config."""

from __future__ import annotations

import argparse
import sys

try:
    import torch
    from mmaction.registry import MODELS
    from mmengine.config import Config
    from mmengine.registry import init_default_scope

    from mmtal_mts.apis import load_config
    from mmtal_mts.utils import UserError, run_tool
    from mmtal_mts.utils.checkpoint import load_model_weights
    from mmtal_mts.utils.io import atomic_write
except ImportError as error:
    sys.exit(f'error: {error}')


def join_streams(cfg: Config, rgb: str, flow: str, out: str) -> None:
    """Writes a checkpoint of a two-stream config, weights only.

    Raises:
        UserError: A checkpoint is not one of that network, or both were trained with
            other classes.
    """
    if cfg.model.get('type') != 'TwoStreamTALMTS':
        raise UserError(
            f'config {cfg.filename}: model.type is {cfg.model.get("type")!r}, but only '
            "'TwoStreamTALMTS' has two streams"
        )
    init_default_scope(cfg.get('default_scope', 'mmaction'))
    model = MODELS.build(cfg.model)
    data = load_model_weights(model.rgb, rgb).get('dataset_meta') or {}
    other = load_model_weights(model.flow, flow).get('dataset_meta') or {}
    classes = data.get('classes'), other.get('classes')
    if None not in classes and list(classes[0]) != list(classes[1]):
        raise UserError(
            f'{rgb} was trained with the classes {list(classes[0])}, {flow} with '
            f'{list(classes[1])}; both need the same order'
        )
    meta = dict(cfg=cfg.pretty_text, dataset_meta=data)
    with atomic_write(out) as temporary:
        torch.save(dict(meta=meta, state_dict=model.state_dict()), temporary)


def main() -> None:
    """Joins what the command line names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', help='config of a TwoStreamTALMTS model')
    parser.add_argument('rgb', help='checkpoint of the RGB network')
    parser.add_argument('flow', help='checkpoint of the flow network')
    parser.add_argument('out', help='checkpoint to write')
    args = parser.parse_args()
    join_streams(load_config(args.config), args.rgb, args.flow, args.out)
    print(f'Joined checkpoint: {args.out}')


if __name__ == '__main__':
    sys.exit(run_tool(main))
