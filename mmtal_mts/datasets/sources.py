"""Finding the sources of videos, and what is known of them before they are read."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..structures.annotations import AnnotationError, VideoAnnotation, load_annotations
from ..structures.timebase import frames_to_seconds, mean_rate, num_sampled_frames
from ..utils.errors import UserError
from ..utils.io import read_json, write_json
from .stored import open_array

RECORD_FILE = 'extraction.json'
_ANOTHER_FOLDER = 'Choose another output folder, or remove this one.'
VIDEO_EXTENSIONS = tuple(
    '.mp4 .avi .mkv .webm .mov .m4v .mpg .mpeg .wmv .flv .ts .3gp'.split()
)
FEATURE_EXTENSIONS = ('.npy', '.npz', '.pt', '.pth')
_EXTENSIONS = {
    'video': VIDEO_EXTENSIONS,
    'frames': ('',),
    'npy': ('.npy',),
    'features': FEATURE_EXTENSIONS,
}
_TEMPLATES = {
    'video': '{video_id}.mp4',
    'frames': '{video_id}',
    'npy': '{video_id}.npy',
    'features': '{video_id}.npy',
}
SOURCE_TYPES = tuple(_TEMPLATES)


class SourceFinder:
    """Finds the source of a video by its annotated file name, template or id.

    In this order: the annotation's "file", the file template, and any file of a
    known type whose name without extension is that of the template. A "file" that
    names a video does not say where its extracted frames or array are.

    Args:
        folder: Folder of the sources.
        source_type: 'video', 'frames' (a folder per video), 'npy' or
            'features'.
        file_tmpl: Template with ``{video_id}``. By default the id and
            the usual extension.

    Raises:
        ValueError: If an argument makes no sense.
    """

    def __init__(
        self, folder: str, source_type: str, file_tmpl: str | None = None
    ) -> None:
        if source_type not in SOURCE_TYPES:
            raise ValueError(
                f'source_type must be one of {SOURCE_TYPES}, got {source_type!r}'
            )
        self.folder = folder
        self.source_type = source_type
        self.file_tmpl = file_tmpl or _TEMPLATES[source_type]
        if '{video_id}' not in self.file_tmpl:
            raise ValueError(
                f'file_tmpl must contain {{video_id}}, got {self.file_tmpl!r}'
            )
        self._names_by_stem: dict[str, dict[str, list[str]]] = {}

    def expected(self, video_id: str, file: str | None = None) -> str:
        """Returns where the source should be.

        Args:
            video_id: Id of the video.
            file: File name from the annotation.

        Returns:
            Path, whether it exists or not.
        """
        name = self.file_tmpl.replace('{video_id}', video_id)
        if file is not None and self._is_source(file):
            name = file
        return os.path.join(self.folder, name)

    def _is_source(self, file: str) -> bool:
        """Tells whether a file name may be one of this source type."""
        extension = os.path.splitext(file)[1].lower()
        if self.source_type in ('npy', 'features'):
            return extension in _EXTENSIONS[self.source_type]
        return self.source_type == 'video' or extension not in VIDEO_EXTENSIONS

    def find(self, video_id: str, file: str | None = None) -> str | None:
        """Returns the path of the source, None if there is none.

        Args:
            video_id: Id of the video.
            file: File name from the annotation.

        Returns:
            Existing path.
        """
        path = self.expected(video_id, file)
        exists = os.path.isdir if self.source_type == 'frames' else os.path.isfile
        if exists(path):
            return path
        named = file is not None and self._is_source(file)
        if named or self.source_type == 'frames':
            return None
        folder, name = os.path.split(path)
        matches = self._index(folder).get(os.path.splitext(name)[0])
        return os.path.join(folder, matches[0]) if matches else None

    def _index(self, folder: str) -> dict[str, list[str]]:
        """Lists a folder once: file names by their stem, the commonest type first."""
        if folder not in self._names_by_stem:
            by_stem: dict[str, list[str]] = {}
            extensions = _EXTENSIONS[self.source_type]
            names = os.listdir(folder) if os.path.isdir(folder) else []
            for name in sorted(names):
                stem, extension = os.path.splitext(name)
                if extension.lower() in extensions:
                    by_stem.setdefault(stem, []).append(name)
            for found in by_stem.values():
                found.sort(
                    key=lambda name: extensions.index(os.path.splitext(name)[1].lower())
                )
            self._names_by_stem[folder] = by_stem
        return self._names_by_stem[folder]


@dataclass(frozen=True)
class VideoFile:
    """One video of a folder.

    Attributes:
        video_id: Names what is made of it.
        path: Video file.
        annotated_fps: Frame rate, should the file not tell it.
    """

    video_id: str
    path: str
    annotated_fps: float | None = None


def find_videos(
    folder: str,
    ann_file: str | None = None,
    subsets: Sequence[str] | None = None,
) -> tuple[list[VideoFile], dict[str, str]]:
    """Lists the videos of an annotation file, or all video files of a folder.

    Args:
        folder: Folder of the video files.
        ann_file: Annotation file in the native format. Without it, the id of a video
            is its file name without the extension.
        subsets: Subsets of the annotation, by default all.

    Returns:
        The videos, and by id why an annotated one is missing.

    Raises:
        UserError: If there is no video, or two of the same id.
    """
    if not os.path.isdir(folder):
        raise UserError(f'{folder}: no such folder of videos')
    if ann_file is None:
        if subsets:
            raise UserError(f'subsets {list(subsets)} need an annotation file')
        return _all_videos(folder), {}
    annotations = load_annotations(ann_file, subsets=subsets, on_invalid='clamp')
    finder = SourceFinder(folder, 'video')
    videos, missing = [], {}
    for video in annotations.videos.values():
        path = finder.find(video.video_id, video.file)
        if path is None:
            expected = finder.expected(video.video_id, video.file)
            missing[video.video_id] = f'{expected}: no such video file'
        else:
            videos.append(VideoFile(video.video_id, path, video.fps))
    return videos, missing


def _all_videos(folder: str) -> list[VideoFile]:
    by_id: dict[str, str] = {}
    for name in sorted(os.listdir(folder)):
        video_id, extension = os.path.splitext(name)
        if extension.lower() not in VIDEO_EXTENSIONS:
            continue
        if video_id in by_id:
            raise UserError(
                f'{folder} holds {name} and {by_id[video_id]}, which would both become '
                f'{video_id}. Remove one, or name the files in an annotation'
            )
        by_id[video_id] = name
    if not by_id:
        raise UserError(f'{folder} holds no video file ({", ".join(VIDEO_EXTENSIONS)})')
    return [VideoFile(key, os.path.join(folder, by_id[key])) for key in by_id]


# Records of how files were made, beside them


@dataclass(frozen=True)
class ExtractionRecord:
    """What a reader of extracted frames needs to know.

    Attributes:
        layout: 'npy' or 'frames'.
        modality: 'RGB' or 'Flow'.
        fps: Frames per second of video.
        num_frames: Instead, frames per video whatever its length.
    """

    layout: str
    modality: str
    fps: float | None
    num_frames: int | None

    def rate(self, duration: float) -> float:
        """Returns the frames per second of a video of this many seconds."""
        return self.fps or mean_rate(self.num_frames, duration)


def read_record(folder: str | os.PathLike) -> ExtractionRecord | None:
    """Reads how the frames in a folder were extracted.

    Args:
        folder: Folder of one modality.

    Returns:
        None if ``extract_clips.py`` did not make it.

    Raises:
        UserError: If the record cannot be read.
    """
    path = Path(folder) / RECORD_FILE
    content = _read_settings(path)
    if content is None:
        return None
    names = ExtractionRecord.__dataclass_fields__
    record = ExtractionRecord(**{name: content.get(name) for name in names})
    if (record.fps is None) == (record.num_frames is None):
        raise UserError(
            f'{path}: needs either "fps" or "num_frames", got {record.fps} and '
            f'{record.num_frames}'
        )
    return record


def check_folder(
    folder: Path, settings: Mapping[str, Any], name: str = RECORD_FILE
) -> bool:
    """Makes sure that a folder holds only what the given settings make.

    Args:
        folder: Folder of the files.
        settings: Everything that the files depend on; JSON.
        name: Name of the file with the record.

    Returns:
        Whether the folder has been claimed for these settings.

    Raises:
        UserError: If it holds something else.
    """
    found = _read_settings(folder / name)
    if found is None:
        entries = os.listdir(folder) if folder.is_dir() else []
        if any(not name.startswith('.') for name in entries):
            raise UserError(
                f'{folder} holds files, but no {name} that says how they were made. '
                f'{_ANOTHER_FOLDER}'
            )
        return False
    wanted = json.loads(json.dumps(settings))  # tuples become lists
    differences = ', '.join(
        f'{key} was {found.get(key)!r} and is now {wanted.get(key)!r}'
        for key in sorted(set(found) | set(wanted))
        if found.get(key) != wanted.get(key)
    )
    if differences:
        raise UserError(
            f'{folder} was extracted with other settings ({differences}). '
            f'{_ANOTHER_FOLDER}'
        )
    return True


def claim_folder(
    folder: Path, settings: Mapping[str, Any], name: str = RECORD_FILE
) -> None:
    """Records the settings in a folder that :func:`check_folder` accepts."""
    if not check_folder(folder, settings, name):
        write_json(folder / name, dict(settings))


def _read_settings(path: Path) -> dict[str, Any] | None:
    if not path.is_file():
        return None
    try:
        content = read_json(path)
    except UserError as error:
        raise UserError(
            f'{error}. Extract into another folder, or remove this one.'
        ) from error
    if not isinstance(content, dict):
        raise UserError(f'{path}: must be an object, got {content!r}')
    return content


# What is the same in all windows of a video


@dataclass(frozen=True)
class VideoSampling:
    """Determines the rates and the length of each video of a data set.

    Attributes:
        source_type: 'video', 'frames' or 'npy'.
        modality: 'RGB' or 'Flow'.
        sample_fps: Rate at which videos are sampled.
        source_fps: Frame rate of all sources, if it is known.
        num_frames_per_video: Sample this many frames from every video instead of a
            common rate.
        record: How images or arrays were extracted. It gives their rate where
            ``source_fps`` does not.
    """

    source_type: str
    modality: str
    sample_fps: float
    source_fps: float | None = None
    num_frames_per_video: int | None = None
    record: ExtractionRecord | None = None

    def __call__(self, video: VideoAnnotation, source: str) -> dict[str, Any]:
        """Describes one video.

        Args:
            video: Annotation.
            source: Path of the file or folder.

        Returns:
            The keys of a window that are the same in the whole video.

        Raises:
            AnnotationError: If the duration is not known.
            VideoReadError: If the source is an unusable array.
        """
        duration, source_fps = video.duration, self.source_fps
        if self.source_type == 'npy':
            num_rows = len(open_array(source, self.modality))
            duration = duration or self._array_duration(num_rows)
        if duration is None:
            raise AnnotationError(f'{video.video_id}: no "duration"')
        if self.source_type == 'npy' and source_fps is None:
            source_fps = self._array_rate(num_rows, duration)
        if self.source_type == 'frames' and source_fps is None:
            # None spreads the images evenly over the duration.
            source_fps = video.fps if self.record is None else self.record.fps

        sample_fps = self.sample_fps
        if self.num_frames_per_video is not None:
            num_frames = self.num_frames_per_video
            sample_fps = mean_rate(num_frames, duration)
        elif self.source_type == 'npy' and source_fps is None:
            # Rows are the sampled frames; their number is more exact than a duration.
            num_frames = num_rows
        else:
            num_frames = num_sampled_frames(sample_fps, duration_s=duration)
        return dict(
            video_id=video.video_id,
            source=source,
            source_fps=source_fps,
            annotated_fps=video.fps,
            sample_fps=sample_fps,
            duration=duration,
            num_sampled_frames=num_frames,
        )

    def _array_duration(self, num_rows: int) -> float | None:
        """The length of an array in seconds; None if its rate is not known."""
        rate = self.source_fps or self.sample_fps
        if self.source_fps is None and self.record is not None:
            rate = self.record.fps
        return None if rate is None else frames_to_seconds(num_rows, rate)

    def _array_rate(self, num_rows: int, duration: float) -> float | None:
        """The rate of an array; None if its rows are the sampled frames."""
        record = self.record
        if record is not None and record.fps not in (None, self.sample_fps):
            return record.fps
        whole_videos = record is not None and record.num_frames is not None
        if whole_videos or self.num_frames_per_video is not None:
            return mean_rate(num_rows, duration)
        return None
