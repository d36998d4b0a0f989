"""Turns a training's checkpoint into a file to give away."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping
from pathlib import Path

import torch

from mmtal_mts.utils import UserError
from mmtal_mts.utils.checkpoint import load_checkpoint
from mmtal_mts.utils.io import atomic_write
from mmtal_mts.version import __version__

_KEPT_META = ('cfg', 'dataset_meta', 'epoch', 'iter', 'mmengine_version')
_HASH_DIGITS = 8


def publish_checkpoint(src: str, out_dir: str, name: str | None = None) -> str:
    """Writes the weights of a checkpoint, with config and classes, and nothing else.

    Optimizer, schedulers and logs are left out. With MMEngine's EMAHook the averaged
    weights are the ones taken: it saves them as ``state_dict``.

    Args:
        src: Checkpoint that a training wrote.
        out_dir: Folder of the new file.
        name: Name of the model; by default that of its config. The file is called
            ``NAME-HASH.pth`` with the first digits of the SHA-256 of its content.

    Returns:
        Path of the new file. It appears whole or not at all.

    Raises:
        UserError: If the checkpoint is no training's checkpoint.
    """
    checkpoint = load_checkpoint(src)
    meta = checkpoint.get('meta')
    if not isinstance(meta, Mapping) or 'cfg' not in meta:
        raise UserError(
            f'checkpoint {src} does not hold its config, so nobody could use the '
            'result. Remedy: publish a checkpoint that tools/train.py wrote'
        )
    kept = {key: meta[key] for key in _KEPT_META if key in meta}
    kept['mmtal_mts_version'] = __version__
    buffer = io.BytesIO()
    torch.save(dict(meta=kept, state_dict=dict(checkpoint['state_dict'])), buffer)
    content = buffer.getvalue()
    digest = hashlib.sha256(content).hexdigest()[:_HASH_DIGITS]
    if name is None:
        # Experiments are called CONFIG_DATE_TIME.
        name = meta.get('experiment_name', Path(src).stem).rsplit('_', 2)[0]
    path = Path(out_dir) / f'{name}-{digest}.pth'
    with atomic_write(path) as temporary:
        temporary.write_bytes(content)
    return str(path)
