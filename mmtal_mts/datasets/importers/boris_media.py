"""Where the times of a BORIS observation are in its video files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

# Seconds by which lengths that BORIS rounds to milliseconds may miss their sum.
_TOLERANCE_S = 0.01


@dataclass(frozen=True)
class MediaFile:
    """A file of an observation.

    Attributes:
        name (str): Name without folder.
        duration (float, optional): Seconds.
        fps (float, optional): Frames per second.
    """

    name: str
    duration: float | None = None
    fps: float | None = None


class MediaQueue:
    """Files that were played one after the other in one observation.

    BORIS counts time on through all of them.

    Args:
        files (Sequence[MediaFile]): In the order of playing.
        total (float, optional): Length of the observation. If it is given and the
            files do not sum up to it, some file is not known and times cannot be told.
    """

    def __init__(self, files: Sequence[MediaFile], total: float | None = None) -> None:
        self.files = list(files)
        durations = [file.duration for file in self.files]
        self._known = len(self.files) == 1 or None not in durations
        if self._known and len(self.files) > 1 and total is not None:
            self._known = abs(sum(durations) - total) < _TOLERANCE_S

    def locate(self, start: float, end: float) -> tuple[MediaFile, float, float] | str:
        """Finds the file of a segment.

        Args:
            start (float): Seconds of the observation.
            end (float): Seconds of the observation.

        Returns:
            tuple[MediaFile, float, float] | str: The file, and start and end in its
            own seconds; or why that cannot be told.
        """
        if not self.files:
            return 'observation without a video'
        if not self._known:
            return 'several videos of unknown length (see --durations)'
        offset = Decimal(0)
        for file in self.files:
            last = file is self.files[-1]
            # Decimal: 227.765 - 179.96 is 47.805, not 47.80499999999998.
            length = None if last else Decimal(repr(file.duration))
            if length is None or start < float(offset + length):
                if length is not None and end > float(offset + length):
                    return 'begins and ends in different videos'
                begin, stop = (Decimal(repr(t)) - offset for t in (start, end))
                return file, float(begin), float(stop)
            offset += length
        raise AssertionError('the last file takes every time')
