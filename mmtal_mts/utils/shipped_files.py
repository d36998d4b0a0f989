"""Finds what belongs to the package but is no code: configs, tools, weights."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import mmtal_mts

_PACKAGE = Path(mmtal_mts.__file__).parent


def shipped_folders(name: str) -> Iterator[Path]:
    """Looks here, beside the package, as in a clone, and in what a wheel carries.

    Args:
        name (str): Name of a file or folder at the root of the repository.

    Yields:
        Path: What exists, the first one first.
    """
    for root in (Path.cwd(), _PACKAGE.parent, _PACKAGE / '.mim'):
        if (root / name).exists():
            yield root / name


def shipped_path(name: str) -> Path:
    """Finds one file or folder of the repository.

    Args:
        name (str): Its path from the root of the repository.

    Returns:
        Path: Where it is; ``name`` itself if it is nowhere.
    """
    return next(shipped_folders(name), Path(name))
