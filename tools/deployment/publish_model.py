"""Writes the weights of a training's checkpoint to a file to give away.

Config and classes go with them; optimizer, schedulers and logs do not. With MMEngine's
EMAHook the averaged weights are taken, which it saves as ``state_dict``. The file is
called NAME-HASH.pth with the first digits of the SHA-256 of its content.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import sys
from pathlib import Path

try:
    import torch

    from mmtal_mts import __version__
    from mmtal_mts.utils import UserError, run_tool
    from mmtal_mts.utils.checkpoint import load_checkpoint
    from mmtal_mts.utils.io import atomic_write
except ImportError as error:
    sys.exit(f'error: {error}')

_KEPT_META = ('cfg', 'dataset_meta', 'epoch', 'iter', 'mmengine_version')


def main() -> None:
    """Publishes what the command line names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('checkpoint', help='checkpoint that a training wrote')
    parser.add_argument('out', type=Path, help='folder of the new file')
    parser.add_argument('--name', help='name of the model (default: its config)')
    args = parser.parse_args()
    checkpoint = load_checkpoint(args.checkpoint)
    meta = checkpoint.get('meta') or {}
    if 'cfg' not in meta:
        raise UserError(
            f'checkpoint {args.checkpoint} does not hold its config, so nobody could '
            'use the result. Remedy: publish a checkpoint that tools/train.py wrote'
        )
    # Experiments are called CONFIG_DATE_TIME.
    experiment = meta.get('experiment_name', Path(args.checkpoint).stem)
    name = args.name or experiment.rsplit('_', 2)[0]
    kept = {key: meta[key] for key in _KEPT_META if key in meta}
    kept['mmtal_mts_version'] = __version__
    # In a file of its own, its name would be part of the content.
    buffer = io.BytesIO()
    torch.save(dict(meta=kept, state_dict=dict(checkpoint['state_dict'])), buffer)
    digest = hashlib.sha256(buffer.getvalue()).hexdigest()[:8]
    path = args.out / f'{name}-{digest}.pth'
    with atomic_write(path) as temporary:
        temporary.write_bytes(buffer.getvalue())
    print(f'wrote {path} ({path.stat().st_size / 1e6:.1f} MB)')


if __name__ == '__main__':
    sys.exit(run_tool(main))
