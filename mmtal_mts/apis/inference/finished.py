"""Remembers which videos are finished, and with which settings."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from mmtal_mts.utils.io import atomic_write

FOLDER = '.finished'


def file_stamp(path: str | os.PathLike | None) -> list | None:
    """What changes when a file is replaced.

    Args:
        path (str | os.PathLike, optional): The file.

    Returns:
        list, optional: Path, size in bytes and time of writing; None without a file.
    """
    if path is None or not os.path.isfile(path):
        return None
    status = os.stat(path)
    return [os.path.realpath(path), status.st_size, status.st_mtime_ns]


def text_stamp(text: str) -> str:
    """Digest of a text.

    Args:
        text (str): Any.

    Returns:
        str: Hexadecimal.
    """
    return hashlib.sha256(text.encode('utf-8')).hexdigest()


class FinishedVideos:
    """One small file per finished video, in a hidden folder of the results.

    Args:
        out_dir (Path): Folder of the results.
        settings (Mapping): All that the results depend on but the video; JSON.
    """

    def __init__(self, out_dir: Path, settings: Mapping) -> None:
        self._folder = Path(out_dir) / FOLDER
        self._settings = dict(settings)

    def has(self, name: str, video: str, files: Sequence[Path]) -> bool:
        """Says whether results are there and up to date.

        Args:
            name (str): Name of the results.
            video (str): Video file.
            files (Sequence[Path]): All files that are written for it.

        Returns:
            bool: Whether nothing is left to do.
        """
        try:
            known = json.loads(self._path(name).read_text(encoding='utf-8'))
        except (OSError, ValueError):
            return False
        return known == self._entry(video) and all(path.is_file() for path in files)

    def add(self, name: str, video: str) -> None:
        """Notes that all files of a video are written.

        Args:
            name (str): Name of the results.
            video (str): Video file.
        """
        with atomic_write(self._path(name)) as temporary:
            temporary.write_text(json.dumps(self._entry(video)), encoding='utf-8')

    def _path(self, name: str) -> Path:
        return self._folder / f'{name}.json'

    def _entry(self, video: str) -> dict:
        # Through JSON, so that tuples equal the lists that are read.
        return json.loads(
            json.dumps(dict(video=file_stamp(video), settings=self._settings))
        )
