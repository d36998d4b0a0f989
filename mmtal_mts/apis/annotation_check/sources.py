"""Whether the video files agree with what is annotated of them."""

from __future__ import annotations

import os
from collections.abc import Sequence

from mmtal_mts.datasets.importers import probe_video
from mmtal_mts.datasets.sources import VIDEO_EXTENSIONS, SourceFinder
from mmtal_mts.datasets.transforms.loading import length_tolerance_s
from mmtal_mts.datasets.transforms.video_readers import VideoReadError
from mmtal_mts.utils.errors import UserError

from .findings import Findings
from .segments import CheckedVideo

# Relative; 29.97 and 30 differ by 0.1 %.
_RATE_TOLERANCE = 5e-4


def check_sources(
    videos: Sequence[CheckedVideo], folder: str, findings: Findings
) -> None:
    """Opens every annotated video and compares its length and rate.

    Args:
        videos (Sequence[CheckedVideo]): From the check of the entries.
        folder (str): Folder of the video files.
        findings (Findings): Gets the problems.

    Raises:
        UserError: If there is no such folder.
    """
    if not os.path.isdir(folder):
        raise UserError(f'{folder}: no such folder (--videos)')
    finder = SourceFinder(folder, 'video')
    used = set()
    for video in videos:
        name = video.video_id
        path = finder.find(name, video.file)
        if path is None:
            findings.add('missing-video', name, None, finder.expected(name, video.file))
            continue
        used.add(os.path.realpath(path))
        try:
            num_frames, fps = probe_video(path)
        except VideoReadError as error:
            findings.add('unreadable-video', name, None, str(error))
            continue
        length_s = num_frames / fps
        duration = video.duration
        if duration is not None and abs(length_s - duration) > length_tolerance_s(
            duration
        ):
            findings.add(
                'duration-mismatch',
                name,
                None,
                f'{path}: {num_frames} frames at {fps:g} fps = {length_s:.2f} s, '
                f'"duration" is {duration:g} s',
            )
        if video.fps is not None and abs(video.fps - fps) > _RATE_TOLERANCE * fps:
            findings.add(
                'fps-mismatch',
                name,
                None,
                f'{path}: {fps:g} fps, "fps" is {video.fps:g}',
            )
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
        if (
            entry.name.lower().endswith(VIDEO_EXTENSIONS)
            and os.path.realpath(entry.path) not in used
        ):
            findings.add('extra-video', None, None, entry.path)
