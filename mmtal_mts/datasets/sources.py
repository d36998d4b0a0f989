"""Finding the sources of videos, and what is known of them before they are read."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ..structures.annotations import AnnotationError, VideoAnnotation, load_annotations
from ..structures.timebase import frames_to_seconds, mean_rate, num_sampled_frames
from ..utils.errors import UserError
from ..utils.io import read_json, write_json
from .stored import open_array

_RECORD_FILE = 'extraction.json'
_REMEDY = 'Choose another output folder, or remove this one.'
VIDEO_EXTENSIONS = tuple(
    '.mp4 .avi .mkv .webm .mov .m4v .mpg .mpeg .wmv .flv .ts .3gp'.split()
)
# Extensions by source type, the usual one first.
_EXTENSIONS = {
    'video': VIDEO_EXTENSIONS,
    'frames': ('',),
    'npy': ('.npy',),
    'features': ('.npy', '.npz', '.pt', '.pth'),
}


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
        if source_type not in _EXTENSIONS:
            raise ValueError(
                f'source_type must be one of {tuple(_EXTENSIONS)}, got {source_type!r}'
            )
        self.folder = folder
        self.source_type = source_type
        self._extensions = _EXTENSIONS[source_type]
        self.file_tmpl = file_tmpl or f'{{video_id}}{self._extensions[0]}'
        if '{video_id}' not in self.file_tmpl:
            raise ValueError(
                f'file_tmpl must contain {{video_id}}, got {self.file_tmpl!r}'
            )

    def expected(self, video_id: str, file: str | None = None) -> str:
        """Where the source should be, given the annotation's "file" if it has one."""
        name = self.file_tmpl.replace('{video_id}', video_id)
        return os.path.join(self.folder, file if self._is_source(file) else name)

    def find(self, video_id: str, file: str | None = None) -> str | None:
        """The path of the source, None if there is none; see :meth:`expected`."""
        path = self.expected(video_id, file)
        if self.source_type == 'frames':
            return path if os.path.isdir(path) else None
        paths = [path]
        if not self._is_source(file):
            stem = os.path.splitext(path)[0]
            for extension in self._extensions:
                cases = extension, extension.upper(), extension.title()
                paths += [f'{stem}{case}' for case in cases]
        return next(filter(os.path.isfile, paths), None)

    def _is_source(self, file: str | None) -> bool:
        """Whether a file name of the annotation may be one of this source type."""
        if file is None or self.source_type == 'video':
            return file is not None
        extension = os.path.splitext(file)[1].lower()
        if self.source_type == 'frames':
            return extension not in VIDEO_EXTENSIONS
        return extension in self._extensions


class VideoFile(NamedTuple):
    """A video of a folder, and its frame rate should the file not tell it."""

    video_id: str
    path: str
    annotated_fps: float | None = None


def find_videos(
    folder: str, ann_file: str | None = None, subsets: Sequence[str] | None = None
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
    finder, videos, missing = SourceFinder(folder, 'video'), [], {}
    if ann_file is not None:
        annotations = load_annotations(ann_file, subsets=subsets, on_invalid='clamp')
        for video in annotations.videos.values():
            path = finder.find(video.video_id, video.file)
            if path is None:
                expected = finder.expected(video.video_id, video.file)
                missing[video.video_id] = f'{expected}: no such video file'
            else:
                videos.append(VideoFile(video.video_id, path, video.fps))
        return videos, missing
    if subsets:
        raise UserError(f'subsets {list(subsets)} need an annotation file')
    paths: dict[str, str] = {}
    for name in sorted(os.listdir(folder)):
        video_id, extension = os.path.splitext(name)
        if extension.lower() not in VIDEO_EXTENSIONS:
            continue
        if video_id in paths:
            raise UserError(
                f'{paths[video_id]} and {name} would both become {video_id}. Remove '
                'one, or name the files in an annotation'
            )
        paths[video_id] = os.path.join(folder, name)
    if not paths:
        raise UserError(f'{folder} holds no video file ({", ".join(VIDEO_EXTENSIONS)})')
    return [VideoFile(*item) for item in sorted(paths.items())], missing


class ExtractionRecord(NamedTuple):
    """How extracted frames were made; ``fps`` or ``num_frames`` is None."""

    layout: str  # 'npy' or 'frames'
    modality: str  # 'RGB' or 'Flow'
    fps: float | None  # frames per second of video
    num_frames: int | None  # instead, frames per video whatever its length

    def rate(self, duration: float) -> float:
        """Returns the frames per second of a video of this many seconds."""
        return self.fps or mean_rate(self.num_frames, duration)


def read_record(folder: str | os.PathLike) -> ExtractionRecord | None:
    """Reads how the frames in a folder of one modality were extracted.

    Returns:
        None if ``extract_clips.py`` did not make it.

    Raises:
        UserError: If the record cannot be read.
    """
    path = Path(folder) / _RECORD_FILE
    content = _read_settings(path)
    if content is None:
        return None
    record = ExtractionRecord(*map(content.get, ExtractionRecord._fields))
    if (record.fps is None) == (record.num_frames is None):
        raise UserError(
            f'{path}: needs either "fps" or "num_frames", got {record.fps} and '
            f'{record.num_frames}'
        )
    return record


def claim_folder(
    folder: Path,
    settings: Mapping[str, Any],
    name: str = _RECORD_FILE,
    dry_run: bool = False,
) -> None:
    """Records how the files of a folder are made, unless that is recorded already.

    Args:
        folder: Folder of the files.
        settings: Everything that the files depend on; JSON.
        name: Name of the file with the record.
        dry_run: Only check.

    Raises:
        UserError: If the folder holds something else.
    """
    found, wanted = _read_settings(folder / name), json.loads(json.dumps(settings))
    if found is None:
        entries = os.listdir(folder) if folder.is_dir() else []
        if any(not entry.startswith('.') for entry in entries):
            raise UserError(
                f'{folder} holds files, but no {name} that says how they were made. '
                f'{_REMEDY}'
            )
        if not dry_run:
            write_json(folder / name, wanted)
        return
    differences = ', '.join(
        f'{key} was {found.get(key)!r} and is now {wanted.get(key)!r}'
        for key in sorted(set(found) | set(wanted))
        if found.get(key) != wanted.get(key)
    )
    if differences:
        raise UserError(
            f'{folder} was extracted with other settings ({differences}). {_REMEDY}'
        )


def _read_settings(path: Path) -> dict[str, Any] | None:
    if not path.is_file():
        return None
    try:
        content = read_json(path)
    except UserError as error:
        raise UserError(f'{error}. {_REMEDY}') from error
    if not isinstance(content, dict):
        raise UserError(f'{path}: must be an object, got {content!r}')
    return content


def describe_video(
    video: VideoAnnotation,
    source: str,
    *,
    source_type: str,
    modality: str,
    sample_fps: float,
    source_fps: float | None,
    num_frames: int | None,
    record: ExtractionRecord | None,
) -> dict[str, Any]:
    """Determines the rates and the length of a video of a data set.

    Args:
        video: Annotation.
        source: Path of the file or folder.
        source_type: As of :class:`.TALDataset`, like all that follow.
        modality: 'RGB' or 'Flow'.
        sample_fps: Rate at which videos are sampled.
        source_fps: Frame rate of all sources, if it is known.
        num_frames: Sample this many frames instead of a common rate.
        record: How images or arrays were extracted. It gives their rate where
            ``source_fps`` does not.

    Returns:
        The keys of a window that are the same in the whole video.

    Raises:
        AnnotationError: If the duration is not known.
        VideoReadError: If the source is an unusable array.
    """
    rate, count, num_rows = source_fps, num_frames, None
    if source_fps is None and source_type != 'video':
        # What was extracted at no rate is spread evenly over the duration.
        rate = sample_fps if source_type == 'npy' else video.fps
        rate = rate if record is None else record.fps
    if source_type == 'npy':
        num_rows = len(open_array(source, modality))
    duration = video.duration
    if not duration and num_rows and rate:
        duration = frames_to_seconds(num_rows, rate)
    if duration is None:
        raise AnnotationError(f'{video.video_id}: no "duration"')
    if num_rows is not None and source_fps is None:
        if rate is None or (rate == sample_fps and num_frames is not None):
            rate = mean_rate(num_rows, duration)
        elif rate == sample_fps:
            # Rows are the sampled frames; their number is more exact than a duration.
            rate, count = None, num_rows
    if num_frames is not None:
        sample_fps = mean_rate(num_frames, duration)
    return dict(
        video_id=video.video_id,
        source=source,
        source_fps=rate,
        annotated_fps=video.fps,
        sample_fps=sample_fps,
        duration=duration,
        num_sampled_frames=count or num_sampled_frames(sample_fps, duration),
    )
