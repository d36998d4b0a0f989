"""What all writers of results have in common."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .result import Selection, VideoResult

VIDEO_SUFFIXES = ('.annotated.mp4', '.preview.mp4')
"""Ends of the names of videos that are results; they are no inputs."""


class ResultWriter:
    """Writes the detections of one video into one file.

    Args:
        selection (Selection): Which detections are written.
    """

    suffix: str
    """What is put behind the name of the video."""

    def __init__(self, selection: Selection) -> None:
        self.selection = selection

    def write(self, result: VideoResult, path: Path) -> None:
        """Writes the file, whole or not at all.

        Args:
            result (VideoResult): With all detections.
            path (Path): File to write.
        """
        raise NotImplementedError


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Gives a temporary name with the same suffix, renamed at the end.

    Args:
        path (Path): File that is wanted; missing folders are made.

    Yields:
        Path: Where to write. It is removed if something is raised.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # A folder of its own: its permissions do not become those of the file.
    with tempfile.TemporaryDirectory(dir=path.parent, prefix='.writing-') as folder:
        temporary = Path(folder) / f'partial{path.suffix}'
        yield temporary
        os.replace(temporary, path)
