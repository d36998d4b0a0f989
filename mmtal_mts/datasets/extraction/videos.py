"""The videos of an extraction."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

from mmtal_mts.structures.annotations import load_annotations
from mmtal_mts.utils import UserError

from ..sources import VIDEO_EXTENSIONS, SourceFinder


@dataclass(frozen=True)
class VideoFile:
    """One video to extract.

    Attributes:
        video_id (str): Names the output.
        path (str): Video file.
        annotated_fps (float, optional): Frame rate, should the file not tell it.
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
        folder (str): Folder of the video files.
        ann_file (str, optional): Annotation file in the native format. Without it,
            the id of a video is its file name without the extension.
        subsets (Sequence[str], optional): Subsets of the annotation, by default all.

    Returns:
        tuple: The videos, and by id why an annotated one is missing.

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
    return [
        VideoFile(video_id, os.path.join(folder, name))
        for video_id, name in by_id.items()
    ]
