"""Somebody's own videos as a data set: their files, and the split."""

from __future__ import annotations

import os
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from mmtal_mts.structures.annotations import summarize_problems
from mmtal_mts.utils import UserError

from .importers import probe_video
from .sources import SourceFinder
from .transforms.video_readers import VideoReadError

TRAINING, VALIDATION = 'training', 'validation'


def measure_videos(
    database: Mapping[str, dict[str, Any]], video_dir: str
) -> dict[str, dict[str, Any]]:
    """Find the file of each video, and how long it is.

    Args:
        database (Mapping[str, dict]): "database" of the native format; keys are video
            ids or file names.
        video_dir (str): Folder of the videos.

    Returns:
        dict[str, dict]: The same with "file" (relative to the folder), "duration" and
        "fps" as the file announces them.

    Raises:
        UserError: If a video is missing or cannot be read.
    """
    if not os.path.isdir(video_dir):
        raise UserError(f'{video_dir}: no such folder of videos')
    finder = SourceFinder(video_dir, 'video')
    measured, missing, broken = {}, [], []
    for name, entry in database.items():
        path = finder.find(name, entry.get('file')) or finder.find(name, name)
        if path is None:
            missing.append(finder.expected(name, entry.get('file')))
            continue
        try:
            times = probe_video(path)
        except VideoReadError as error:
            broken.append(str(error))
            continue
        measured[name] = dict(
            entry,
            file=os.path.relpath(path, video_dir),
            duration=times.duration_s,
            fps=times.fps,
        )
    for problems, what in ((missing, 'are missing'), (broken, 'cannot be read')):
        if problems:
            raise UserError(
                f'{len(problems)} of {len(database)} videos {what}\n'
                f'{summarize_problems(problems)}\n'
                'Correct the names in the annotation, or leave these videos out.'
            )
    return measured


def split_by_video(
    labels: Mapping[str, Sequence[str]], fraction: float = 0.2, seed: int = 0
) -> set[str]:
    """Choose videos for validation, so that each class stays in training.

    Videos with a class that validation lacks come first; the rest is drawn by chance.

    Args:
        labels (Mapping[str, Sequence[str]]): Labels of each video.
        fraction (float): Share of the videos to choose.
        seed (int): Of the draw.

    Returns:
        set[str]: Video ids, at least one.

    Raises:
        UserError: If no video can be spared.
    """
    order = sorted(labels)
    random.Random(seed).shuffle(order)
    wanted = max(1, round(fraction * len(order)))
    # In how many training videos each class still is.
    left = Counter(label for name in order for label in set(labels[name]))
    chosen: set[str] = set()
    seen: set[str] = set()
    for needed in (True, False):
        for name in order:
            own = set(labels[name])
            if len(chosen) >= wanted or name in chosen or (needed and own <= seen):
                continue
            if own and all(left[label] > 1 for label in own):
                chosen.add(name)
                seen |= own
                left.subtract(own)
    if not chosen:
        raise UserError(
            f'none of the {len(order)} videos can be held out for validation: each has '
            'a class that no other video has. Annotate a second video of some class, '
            'or give "subset" ("training", "validation") in a JSON annotation'
        )
    return chosen
