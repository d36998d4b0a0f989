"""What all writers of results have in common."""

from __future__ import annotations

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
