"""Convert a checkpoint of the original AFSD code for the configs of configs/afsd."""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from mmtal_mts.utils import UserError, convert_afsd_state_dict, run_tool
from mmtal_mts.utils.io import atomic_write


def parse_args() -> argparse.Namespace:
    """Parses the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('src', type=Path, help='checkpoint of AFSD, *.ckpt or *.pth')
    parser.add_argument('dst', type=Path, help='file to write, *.pth')
    return parser.parse_args()


def read_state_dict(path: Path) -> dict:
    """Reads the state dict in a file, without running any code from it.

    Args:
        path: A state dict, or a dict with one under ``state_dict`` or ``model``.

    Returns:
        The state dict.

    Raises:
        UserError: The file is missing, unreadable or holds something else.
    """
    if not path.is_file():
        raise UserError(f'{path}: no such file')
    try:
        loaded = torch.load(path, map_location='cpu', weights_only=True)
    except Exception as error:
        raise UserError(
            f'{path}: cannot be read as a checkpoint of tensors '
            f'({str(error).splitlines()[0]})'
        ) from error
    for key in ('state_dict', 'model'):
        if isinstance(loaded, dict) and isinstance(loaded.get(key), dict):
            loaded = loaded[key]
    if not isinstance(loaded, dict) or not all(
        isinstance(value, torch.Tensor) for value in loaded.values()
    ):
        raise UserError(f'{path}: holds no state dict but a {type(loaded).__name__}')
    return loaded


def main() -> None:
    """Converts the file."""
    args = parse_args()
    state_dict = read_state_dict(args.src)
    try:
        converted = convert_afsd_state_dict(state_dict)
    except ValueError as error:
        raise UserError(f'{args.src}: {error}') from error
    content = dict(meta=dict(converted_from='AFSD'), state_dict=converted)
    with atomic_write(args.dst) as temporary:
        torch.save(content, temporary)
    print(f'{args.dst}: {len(converted)} tensors')


if __name__ == '__main__':
    raise SystemExit(run_tool(main))
