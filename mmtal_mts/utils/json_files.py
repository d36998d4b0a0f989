"""Writes JSON files that are whole or not there."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Any


def write_json(path: str | os.PathLike, content: Any) -> None:
    """Write a JSON file under a temporary name and rename it.

    Numbers are written with all their digits.

    Args:
        path (str | os.PathLike): File to write; missing folders are made.
        content (Any): What to write.

    Raises:
        ValueError: If a number is infinite or NaN, which JSON does not know.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(
        dir=path.parent, prefix=f'.{path.name}.', suffix='.tmp'
    )
    try:
        with os.fdopen(handle, 'w', encoding='utf-8') as file:
            json.dump(content, file, indent=1, ensure_ascii=False, allow_nan=False)
            file.write('\n')
        # mkstemp lets only the owner read; a data file is for everybody.
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(temporary, 0o666 & ~umask)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
