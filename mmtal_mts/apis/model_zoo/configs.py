"""From the name of a model to its config."""

from __future__ import annotations

import os
from pathlib import Path

from mmtal_mts.utils import UserError
from mmtal_mts.utils.shipped_files import shipped_folders


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
    for folder in shipped_folders('configs'):
        for file in sorted(folder.glob('[!_]*/*.py')):
            if file.stem == path.name:
                return file
            names.add(file.stem)
    known = '\n  '.join(sorted(names)) or '(no folder configs/ found)'
    raise UserError(f'model {path.name!r} is unknown; those in configs/ are\n  {known}')
