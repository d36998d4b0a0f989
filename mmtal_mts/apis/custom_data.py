"""Somebody's annotation on its way to a training: read, measured, split, checked."""

from __future__ import annotations

import os
import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..datasets.converters import convert_annotations
from ..datasets.sources import SourceFinder
from ..datasets.video import VideoReader, VideoReadError
from ..structures import Annotations
from ..structures.annotations import summarize_problems
from ..utils import UserError
from ..utils.io import atomic_write
from .annotation_check import (
    CheckSettings,
    WindowSettings,
    check_annotations,
    describe_check,
    describe_findings,
)
from .custom_plan import TrainingPlan

TRAINING, VALIDATION = 'training', 'validation'


def measure_videos(
    database: Mapping[str, dict[str, Any]], video_dir: str
) -> dict[str, dict[str, Any]]:
    """Finds the file of each video, and how long it is.

    Args:
        database: "database" of the native format; keys are video ids or file names.
        video_dir: Folder of the videos.

    Returns:
        The same with "file" (relative to the folder), "duration" and "fps" as the file
        announces them.

    Raises:
        UserError: A video is missing or cannot be read.
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
            video = VideoReader(path)
            facts = dict(duration=video.duration_s, fps=video.fps)
        except VideoReadError as error:
            broken.append(str(error))
            continue
        measured[name] = dict(entry, file=os.path.relpath(path, video_dir), **facts)
    for problems, what in ((missing, 'are missing'), (broken, 'cannot be read')):
        if problems:
            raise UserError(
                f'{len(problems)} of {len(database)} videos {what}\n'
                f'{summarize_problems(problems)}\n'
                'Correct the names in the annotation, or leave these videos out.'
            )
    return measured


def assign_subsets(
    database: Mapping[str, dict[str, Any]],
    fraction: float,
    seed: int,
    log: Callable[[str], None] = print,
) -> None:
    """Splits by video, in place, unless the annotation does.

    Args:
        database: "database" of the native format; its entries get a "subset".
        fraction: Share of the videos to hold out.
        seed: Of the split.
        log: Gets a line if given subsets are not kept.

    Raises:
        UserError: The fraction is not between 0 and 1, or no video can be spared.
    """
    given = {entry.get('subset') or '' for entry in database.values()}
    if given == {TRAINING, VALIDATION}:
        return
    if not 0 < fraction < 1:
        raise UserError(f'--val-fraction {fraction}: must be between 0 and 1')
    if given != {''}:
        names = ', '.join(sorted(name or '(none)' for name in given))
        log(
            f'subsets {names} of the annotation are split anew; they would be kept if '
            f'they were {TRAINING} and {VALIDATION}'
        )
    labels = {
        name: [item['label'] for item in entry['annotations']]
        for name, entry in database.items()
    }
    held_out = split_by_video(labels, fraction, seed)
    for name, entry in database.items():
        entry['subset'] = VALIDATION if name in held_out else TRAINING


def split_by_video(
    labels: Mapping[str, Sequence[str]], fraction: float = 0.2, seed: int = 0
) -> set[str]:
    """Chooses videos for validation, so that each class stays in training.

    Videos with a class that validation lacks come first; the rest is drawn by chance.

    Args:
        labels: Labels of each video.
        fraction: Share of the videos to choose.
        seed: Of the draw.

    Returns:
        Video ids, at least one.

    Raises:
        UserError: No video can be spared.
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


def describe_subsets(annotations: Annotations) -> str:
    """Lists videos and actions of both subsets, class by class."""
    lines, counts = [], []
    for subset in (TRAINING, VALIDATION):
        videos = [v for v in annotations.videos.values() if v.subset == subset]
        counts.append(Counter(n for v in videos for n in v.actions.labels.tolist()))
        lines.append(
            f'{subset}: {len(videos)} videos, {sum(v.duration for v in videos):.0f} s, '
            f'{counts[-1].total()} actions'
        )
    width = max(len(name) for name in annotations.classes)
    for label, name in enumerate(annotations.classes):
        seen, held_out = counts[0][label], counts[1][label]
        warning = '' if held_out else '  not in validation, so it does not count there'
        warning = warning if seen else '  no training example'
        lines.append(f'  {name:<{width}} {seen:>5} {held_out:>5}{warning}')
    return '\n'.join(lines)


def read_any_format(path: str, log: Callable[[str], None]) -> dict[str, Any]:
    """Reads an annotation of any known format; ``log`` gets what was left out."""
    result = convert_annotations([path])
    for reason, places in result.dropped.items():
        log(f'{len(places)} annotations left out ({reason}), e.g. {places[0]}')
    for video_id, reason in result.removed_videos.items():
        log(f'video {video_id} left out: {reason}')
    return result.content


def check_with_plan(
    path: Path,
    content: dict[str, Any],
    classes: Sequence[str],
    plan: TrainingPlan,
    log: Callable[[str], None],
) -> None:
    """Writes everything that is odd about the annotation with the plan's windows."""
    windows = WindowSettings(
        clip_len=plan.clip_len,
        sample_fps=plan.sample_fps,
        stride=plan.window_stride,
        num_levels=plan.num_levels,
    )
    report = check_annotations(content, CheckSettings(windows, classes))
    with atomic_write(path) as temporary:
        temporary.write_text(describe_check(report) + '\n', encoding='utf-8')
    log(f'{describe_findings(report.findings)}\n  the whole check: {path}')
