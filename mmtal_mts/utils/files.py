"""Reading and writing of files that people exchange."""

from __future__ import annotations

import gzip
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

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


@contextmanager
def write_whole(path: str | os.PathLike, mode: str = 'w') -> Iterator[IO]:
    """Opens a file that appears whole or not at all.

    Args:
        path: File to write; missing folders are made.
        mode: ``'w'`` for text in UTF-8, ``'wb'`` for bytes.

    Yields:
        The open file; it gets its name when the block ends without an exception.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(
        dir=path.parent, prefix=f'.{path.name}.', suffix='.tmp'
    )
    try:
        with os.fdopen(handle, mode, encoding=None if 'b' in mode else 'utf-8') as file:
            yield file
        # mkstemp is private to its owner; a result file is an ordinary file.
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(temporary, 0o666 & ~umask)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
