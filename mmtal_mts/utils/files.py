"""Reading of files that people exchange."""

from __future__ import annotations

import gzip
import os
from pathlib import Path

_GZIP_MAGIC = b'\x1f\x8b'


def read_text(path: str | os.PathLike) -> str:
    """Reads a text file, compressed with gzip or not, whatever its name.

    Args:
        path: File in UTF-8, with or without a byte order mark.

    Returns:
        The text.

    Raises:
        OSError: If it cannot be read or decompressed.
        UnicodeDecodeError: If it is not UTF-8.
    """
    content = Path(path).read_bytes()
    if content.startswith(_GZIP_MAGIC):
        try:
            content = gzip.decompress(content)
        except EOFError as error:
            raise OSError(f'{path}: the gzip file is cut off') from error
    return content.decode('utf-8-sig')
