"""From the name of a model to its files."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import mmtal_mts
from mmtal_mts.utils import UserError

_CONFIGS, _WEIGHTS = 'configs', 'zoo'


def find_config(model: str | os.PathLike) -> Path:
    """Finds the config of a model.

    Args:
        model (str | os.PathLike): A config file, or its name without ``.py``.

    Returns:
        Path: A file, which need not exist if ``model`` is a path.

    Raises:
        UserError: If no config has the name.
    """
    path = Path(model)
    if path.suffix or path.is_file():
        return path
    names = set()
    for folder in _folders(_CONFIGS):
        for file in sorted(folder.glob('[!_]*/*.py')):
            if file.stem == path.name:
                return file
            names.add(file.stem)
    known = '\n  '.join(sorted(names)) or '(no folder configs/ found)'
    raise UserError(f'model {path.name!r} is unknown; those in configs/ are\n  {known}')


def find_weights(config: str | os.PathLike | None) -> Path:
    """Finds the weights that belong to a config.

    Args:
        config (str | os.PathLike, optional): Config file.

    Returns:
        Path: The checkpoint ``zoo/NAME-HASH.pth``.

    Raises:
        UserError: If there is none.
    """
    name = Path(config or 'config').stem
    for folder in _folders(_WEIGHTS):
        found = sorted(folder.glob(f'{name}-*.pth'))
        if found:
            return found[-1]
    raise UserError(
        f'zoo/ holds no weights of {name}. Remedy: train it by tools/train.py and give '
        'its checkpoint, e.g. --weights work_dirs/NAME/epoch_5.pth'
    )


def _folders(name: str) -> Iterator[Path]:
    """Here, and beside the package, as in a clone."""
    for root in (Path.cwd(), Path(mmtal_mts.__file__).parents[1]):
        if (root / name).is_dir():
            yield root / name
