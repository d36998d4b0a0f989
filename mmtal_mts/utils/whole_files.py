"""Files that are whole or not there."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def whole_file(path: str | os.PathLike) -> Iterator[Path]:
    """Lets a file be written under a temporary name and renames it in the end.

    If something fails, an older file of that name stays as it was.

    Args:
        path (str | os.PathLike): File to write; missing folders are made.

    Yields:
        Path: Where to write to, with the same extension.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(
        dir=path.parent, prefix=f'.{path.stem}.', suffix=path.suffix
    )
    os.close(handle)
    try:
        yield Path(temporary)
        # mkstemp lets only the owner read; a result is for everybody.
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(temporary, 0o666 & ~umask)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
