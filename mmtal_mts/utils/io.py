"""Reads and writes files; what is written is whole or not there."""

from __future__ import annotations

import gzip
import json
import os
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console

from .errors import UserError


@contextmanager
def atomic_write(path: str | os.PathLike) -> Iterator[Path]:
    """Lets a file be written under a temporary name and renames it in the end.

    If something fails, an older file of that name stays as it was.

    Args:
        path: File to write; missing folders are made.

    Yields:
        Where to write to, with the same extension.
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


def read_text(path: str | os.PathLike) -> str:
    """Reads a text file, compressed with gzip or not; its name does not matter.

    Args:
        path: File in UTF-8, with or without a byte order mark.

    Raises:
        OSError: It cannot be read or decompressed.
        UnicodeDecodeError: It is not UTF-8.
    """
    content = Path(path).read_bytes()
    if content.startswith(b'\x1f\x8b'):
        try:
            content = gzip.decompress(content)
        except EOFError as error:
            raise OSError(f'{path}: the gzip file is cut off') from error
    return content.decode('utf-8-sig')


def parse_json(text: str) -> tuple[Any, list[str]]:
    """Parses JSON, in which the last of equal keys counts, and lists equal keys."""
    duplicates: list[str] = []

    def collect(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        result = dict(pairs)
        if len(result) < len(pairs):
            repeated = Counter(key for key, _ in pairs) - Counter(result.keys())
            duplicates.extend(repeated.elements())
        return result

    try:
        return json.loads(text, object_pairs_hook=collect), duplicates
    except RecursionError as error:
        raise ValueError('nested too deeply') from error


def read_json(path: str | os.PathLike) -> Any:
    """Reads a JSON file, compressed with gzip or not.

    Args:
        path: File in UTF-8.

    Raises:
        UserError: It is missing or no JSON.
    """
    try:
        return json.loads(read_text(path))
    except OSError as error:
        raise UserError(f'{path} cannot be read: {error}') from error
    except ValueError as error:
        raise UserError(f'{path} is not valid JSON in UTF-8: {error}') from error


def write_json(path: str | os.PathLike, content: Any) -> None:
    """Writes a JSON file; numbers keep all their digits.

    Args:
        path: File to write; missing folders are made.
        content: What to write.

    Raises:
        ValueError: A number is infinite or NaN, which JSON does not know.
    """
    # First of all, so that nothing is written if it fails.
    text = json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False)
    with atomic_write(path) as temporary:
        temporary.write_text(text + '\n', encoding='utf-8')


def result_console() -> Console:
    """Standard output for tables: as wide as the terminal, or wide enough for any."""
    console = Console()
    if not console.is_terminal:
        console.width = max(console.width, 160)
    return console
