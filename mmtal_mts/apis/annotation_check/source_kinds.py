"""Folders of videos, of arrays and of images, and how long what is in them is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path

from mmtal_mts.datasets.sources import ExtractionRecord, read_record
from mmtal_mts.datasets.importers import probe_video
from mmtal_mts.datasets.sources import VIDEO_EXTENSIONS
from mmtal_mts.datasets.stored import (
    CHANNELS,
    count_images,
    open_array,
)
from mmtal_mts.datasets.video import VideoReadError
from mmtal_mts.utils.errors import UserError

from .segments import CheckedVideo
from .settings import WindowSettings


@dataclass(frozen=True)
class MeasuredSource:
    """What a source tells of itself.

    Attributes:
        num_frames (int): Frames in it.
        fps (float, optional): Their rate, None if only the duration would tell.
        duration_s (float, optional): Seconds, None likewise.
        expected_frames (int, optional): Number of frames that every source of the
            folder must have.
        is_original (bool): Whether this is the video itself, so that its rate is the
            one that may be annotated.
    """

    num_frames: int
    fps: float | None = None
    duration_s: float | None = None
    expected_frames: int | None = None
    is_original: bool = False


class SourceKind(ABC):
    """A folder of one kind of sources.

    Args:
        folder (str): The folder.
        windows (WindowSettings): Of the training.
        record (ExtractionRecord, optional): How its frames were extracted.
    """

    source_type: str

    def __init__(
        self, folder: str, windows: WindowSettings, record: ExtractionRecord | None
    ) -> None:
        self.folder = folder
        self.windows = windows
        self.record = record

    @abstractmethod
    def measure(self, path: str, video: CheckedVideo) -> MeasuredSource:
        """Measures a source.

        Args:
            path (str): File or folder.
            video (CheckedVideo): Its annotation.

        Returns:
            MeasuredSource: What it tells.

        Raises:
            VideoReadError: If it is damaged.
        """

    @abstractmethod
    def is_source(self, path: Path) -> bool:
        """Whether something in the folder looks like a source."""

    def _extracted(self, num_frames: int, fps: float | None) -> MeasuredSource:
        """Describes extracted frames; ``fps`` counts where there is no record."""
        expected = None
        if self.record is not None:
            fps, expected = self.record.fps, self.record.num_frames
        duration_s = None if fps is None else num_frames / fps
        return MeasuredSource(num_frames, fps, duration_s, expected)


class VideoFiles(SourceKind):
    """Files to be decoded."""

    source_type = 'video'

    def measure(self, path: str, video: CheckedVideo) -> MeasuredSource:
        """See :meth:`SourceKind.measure`."""
        times = probe_video(path)
        return MeasuredSource(
            times.num_frames, times.fps, times.duration_s, is_original=True
        )

    def is_source(self, path: Path) -> bool:
        """See :meth:`SourceKind.is_source`."""
        return path.suffix.lower() in VIDEO_EXTENSIONS


class Arrays(SourceKind):
    """A ``.npy`` file per video, RGB or flow; without a record sampled already."""

    source_type = 'npy'

    def measure(self, path: str, video: CheckedVideo) -> MeasuredSource:
        """See :meth:`SourceKind.measure`."""
        fixed = self.windows.frames_per_video is not None
        return self._extracted(
            self._num_rows(path), None if fixed else self.windows.sample_fps
        )

    def _num_rows(self, path: str) -> int:
        if self.record is not None:
            return len(open_array(path, self.record.modality))
        problem: VideoReadError | None = None
        for modality in CHANNELS:
            try:
                return len(open_array(path, modality))
            except VideoReadError as error:
                problem = problem or error
        raise problem

    def is_source(self, path: Path) -> bool:
        """See :meth:`SourceKind.is_source`."""
        return path.suffix == '.npy'


class ImageFolders(SourceKind):
    """A folder of numbered images per video; without a record at the annotated fps."""

    source_type = 'frames'

    def measure(self, path: str, video: CheckedVideo) -> MeasuredSource:
        """See :meth:`SourceKind.measure`."""
        return self._extracted(count_images(path), video.fps)

    def is_source(self, path: Path) -> bool:
        """See :meth:`SourceKind.is_source`."""
        return path.is_dir() and not path.name.startswith('.')


def kind_of(folder: str, windows: WindowSettings) -> SourceKind:
    """Finds out what a folder holds.

    Args:
        folder (str): Existing folder.
        windows (WindowSettings): Of the training.

    Returns:
        SourceKind: The kind of its ``extraction.json``, else of its content.

    Raises:
        UserError: If it holds no sources.
    """
    kinds = [kind(folder, windows, None) for kind in (VideoFiles, Arrays, ImageFolders)]
    record = read_record(folder)
    if record is not None:
        kind = Arrays if record.layout == 'npy' else ImageFolders
        return kind(folder, windows, record)
    content = list(Path(folder).iterdir())
    for kind in kinds:
        if any(map(kind.is_source, content)):
            return kind
    raise UserError(
        f'{folder}: holds no video files, no .npy arrays and no folders of images '
        '(--videos)'
    )
