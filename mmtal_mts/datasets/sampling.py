"""How a video is sampled, and what goes wrong before that."""

from __future__ import annotations

import logging
from typing import Any

from mmengine.logging import print_log

from mmtal_mts.structures.annotations import (
    AnnotationError,
    VideoAnnotation,
    summarize_problems,
)
from mmtal_mts.structures.timebase import num_sampled_frames

from .extraction_record import ExtractionRecord
from .sources import SourceFinder
from .transforms.loading import length_tolerance_s
from .transforms.stored_frames import open_array
from .transforms.video_readers import VideoReadError

FRAME_TEMPLATES = {'RGB': 'img_{:05}.jpg', 'Flow': '{}_{:05}.jpg'}
"""Names of the images of a frame folder by modality."""


def check_on_bad_video(value: str) -> None:
    """Raises a ValueError for what is neither 'error' nor 'skip'."""
    if value not in ('error', 'skip'):
        raise ValueError(f"on_bad_video must be 'error' or 'skip', got {value!r}")


def check_sampling(
    source_type: str,
    modality: str,
    clip_len: int,
    sample_fps: float,
    num_frames_per_video: int | None,
) -> None:
    """Raises a ValueError for settings of a data set that make no sense.

    Args:
        source_type (str): 'video', 'frames' or 'npy'.
        modality (str): 'RGB' or 'Flow'.
        clip_len (int): Length of a window in sampled frames.
        sample_fps (float): Rate at which videos are sampled.
        num_frames_per_video (int, optional): Instead of a common rate.
    """
    if modality not in FRAME_TEMPLATES:
        raise ValueError(
            f'modality must be one of {tuple(FRAME_TEMPLATES)}, got {modality!r}'
        )
    if modality == 'Flow' and source_type == 'video':
        raise ValueError(
            "modality='Flow' needs source_type 'frames' or 'npy': optical flow is "
            'computed beforehand'
        )
    for name, value in (('clip_len', clip_len), ('sample_fps', sample_fps)):
        if not value > 0:
            raise ValueError(f'{name} must be positive, got {value}')
    if num_frames_per_video is not None and not 1 <= num_frames_per_video <= clip_len:
        raise ValueError(
            f'num_frames_per_video={num_frames_per_video} must be in 1..clip_len '
            f'({clip_len}): every video becomes one window'
        )


class VideoSampling:
    """Determines the rates and the length of each video.

    Args:
        source_type (str): 'video', 'frames' or 'npy'.
        modality (str): 'RGB' or 'Flow'.
        sample_fps (float): Rate at which videos are sampled.
        source_fps (float, optional): Frame rate of all sources, if it is known.
        num_frames_per_video (int, optional): Sample this many frames from every
            video instead of a common rate.
        record (ExtractionRecord, optional): How images or arrays were extracted. It
            tells their rate where ``source_fps`` does not.
    """

    def __init__(
        self,
        source_type: str,
        modality: str,
        sample_fps: float,
        source_fps: float | None = None,
        num_frames_per_video: int | None = None,
        record: ExtractionRecord | None = None,
    ) -> None:
        self.source_type = source_type
        self.record = record
        self.modality = modality
        self.sample_fps = sample_fps
        self.source_fps = source_fps
        self.num_frames_per_video = num_frames_per_video

    def __call__(self, video: VideoAnnotation, source: str) -> dict[str, Any]:
        """Describes one video.

        Args:
            video (VideoAnnotation): Annotation.
            source (str): Path of the file or folder.

        Returns:
            dict: The keys of a window that are the same in the whole video.

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
            sample_fps = num_frames / duration
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
        """Returns the length of an array in seconds; None if its rate is not known."""
        record = self.record
        if self.source_fps is None and record is not None:
            return None if record.fps is None else num_rows / record.fps
        return num_rows / (self.source_fps or self.sample_fps)

    def _array_rate(self, num_rows: int, duration: float) -> float | None:
        """Returns the rate of an array; None if its rows are the sampled frames."""
        record = self.record
        if record is not None and record.fps not in (None, self.sample_fps):
            return record.fps
        whole_videos = record is not None and record.num_frames is not None
        if whole_videos or self.num_frames_per_video is not None:
            return num_rows / duration
        return None


class SourceProblems:
    """Collects what is wrong with the sources of a data set, to tell it at once.

    Args:
        ann_file (str): Annotation file, for the messages.
        on_bad_video (str): 'error' or 'skip'.
    """

    def __init__(self, ann_file: str, on_bad_video: str) -> None:
        self.ann_file = ann_file
        self.on_bad_video = on_bad_video
        self.undated: list[str] = []
        self.missing: list[str] = []
        self.unreadable: list[str] = []
        self.contradictions: list[str] = []

    def describe(
        self, video: VideoAnnotation, finder: SourceFinder, sample: VideoSampling
    ) -> dict[str, Any] | None:
        """Finds and describes a video; notes what is wrong with it.

        Args:
            video (VideoAnnotation): Annotation.
            finder (SourceFinder): Finds the source.
            sample (VideoSampling): Describes it.

        Returns:
            dict, optional: See :class:`VideoSampling`; None if it cannot be used.
        """
        source = finder.find(video.video_id, video.file)
        if source is None:
            self.missing.append(finder.expected(video.video_id, video.file))
            return None
        try:
            facts = sample(video, source)
        except AnnotationError as err:
            self.undated.append(str(err))
            return None
        except VideoReadError as err:
            self.unreadable.append(str(err))
            return None
        self._check_length(facts)
        return facts

    def _check_length(self, facts: dict[str, Any]) -> None:
        """Notes a sampled length that contradicts the annotated duration."""
        length_s = facts['num_sampled_frames'] / facts['sample_fps']
        duration = facts['duration']
        if abs(length_s - duration) > length_tolerance_s(duration):
            self.contradictions.append(
                f'{facts["source"]}: {facts["num_sampled_frames"]} frames at '
                f'{facts["sample_fps"]:g} fps = {length_s:.2f} s, but "duration" is '
                f'{duration:.2f} s'
            )

    def report(self, folder: str, num_videos: int) -> None:
        """Raises or logs everything collected.

        Args:
            folder (str): Folder of the sources.
            num_videos (int): Number of videos asked for.

        Raises:
            AnnotationError: If durations are missing.
            FileNotFoundError: If sources are missing, with 'error'.
            VideoReadError: If sources are unreadable, with 'error'.
        """
        if self.undated:
            raise AnnotationError(
                f'{self.ann_file}: {len(self.undated)} videos without duration\n'
                f'{summarize_problems(self.undated)}\nAdd "duration" in seconds to '
                'their entries; only arrays tell their own length.'
            )
        remedy = "or set on_bad_video='skip' to leave them out."
        if self.missing:
            self._raise_or_log(
                FileNotFoundError,
                f'{len(self.missing)} of {num_videos} videos of {self.ann_file} are '
                f'missing in {folder!r}\n{summarize_problems(self.missing)}\n'
                f'Check data_prefix=dict(video=...) and file_tmpl, {remedy}',
            )
        if self.unreadable:
            self._raise_or_log(
                VideoReadError,
                f'{len(self.unreadable)} of {num_videos} videos of {self.ann_file} '
                f'cannot be read\n{summarize_problems(self.unreadable)}\n'
                f'Replace them, {remedy}',
            )
        if self.contradictions:
            _warn(
                f'{len(self.contradictions)} lengths contradict {self.ann_file}\n'
                f'{summarize_problems(self.contradictions)}'
            )

    def _raise_or_log(self, error: type[Exception], message: str) -> None:
        if self.on_bad_video == 'error':
            raise error(message)
        _warn(message)


def _warn(message: str) -> None:
    print_log(message, logger='current', level=logging.WARNING)
