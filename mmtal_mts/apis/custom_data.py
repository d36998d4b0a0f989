"""Somebody's annotation on its way to a training: read, split, told, checked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from mmtal_mts.apis.annotation_check import (
    CheckSettings,
    WindowSettings,
    check_annotations,
    describe_check,
    describe_findings,
)
from mmtal_mts.apis.custom_plan import TrainingPlan
from mmtal_mts.datasets.importers.registry import import_annotations
from mmtal_mts.datasets.own_data import TRAINING, VALIDATION, split_by_video
from mmtal_mts.structures.annotations import Annotations
from mmtal_mts.utils import UserError
from mmtal_mts.utils.io import atomic_write

Say = Callable[[str], None]


def read_any_format(path: str, say: Say) -> dict[str, Any]:
    """An annotation of any known format as the content of a native file.

    Args:
        path (str): File or folder.
        say (Callable[[str], None]): Gets what was left out.

    Returns:
        dict: With "database".
    """
    result = import_annotations([path])
    for reason, places in result.dropped.items():
        say(f'{len(places)} annotations left out ({reason}), e.g. {places[0]}')
    for video_id, reason in result.removed_videos.items():
        say(f'video {video_id} left out: {reason}')
    return result.content


def assign_subsets(
    database: dict[str, dict[str, Any]], fraction: float, seed: int, say: Say
) -> None:
    """Split by video, unless the annotation does.

    Args:
        database (dict[str, dict]): Its entries get a "subset".
        fraction (float): Share of the videos to hold out.
        seed (int): Of the split.
        say (Callable[[str], None]): Gets a line if given subsets are not kept.

    Raises:
        UserError: If the fraction is not between 0 and 1.
    """
    given = {entry.get('subset') or '' for entry in database.values()}
    if given == {TRAINING, VALIDATION}:
        return
    if not 0 < fraction < 1:
        raise UserError(f'--val-fraction {fraction}: must be between 0 and 1')
    labels = {
        name: [item['label'] for item in entry['annotations']]
        for name, entry in database.items()
    }
    if given != {''}:
        names = ', '.join(sorted(name or '(none)' for name in given))
        say(
            f'subsets {names} of the annotation are split anew; they would be kept if '
            f'they were {TRAINING} and {VALIDATION}'
        )
    held_out = split_by_video(labels, fraction, seed)
    for name, entry in database.items():
        entry['subset'] = VALIDATION if name in held_out else TRAINING


def describe_subsets(annotations: Annotations) -> str:
    """Videos and actions of both subsets, class by class.

    Args:
        annotations (Annotations): Split.

    Returns:
        str: Lines.
    """
    lines = []
    counts = {}
    for subset in (TRAINING, VALIDATION):
        videos = [v for v in annotations.videos.values() if v.subset == subset]
        counts[subset] = Counter(
            label for video in videos for label in video.actions.labels.tolist()
        )
        lines.append(
            f'{subset}: {len(videos)} videos, {sum(v.duration for v in videos):.0f} s, '
            f'{sum(counts[subset].values())} actions'
        )
    width = max(len(name) for name in annotations.classes)
    for label, name in enumerate(annotations.classes):
        numbers = (counts[TRAINING][label], counts[VALIDATION][label])
        warning = ''
        if not numbers[0]:
            warning = '  no training example'
        elif not numbers[1]:
            warning = '  not in validation, so it does not count there'
        lines.append(f'  {name:<{width}} {numbers[0]:>5} {numbers[1]:>5}{warning}')
    return '\n'.join(lines)


def check_with_plan(
    path: Path,
    content: dict[str, Any],
    classes: Sequence[str],
    plan: TrainingPlan,
    say: Say,
) -> None:
    """Look closely at the annotation, with the windows of the plan.

    Args:
        path (Path): Text file for everything that was found.
        content (dict): Annotation in the native format.
        classes (Sequence[str]): Names of the labels.
        plan (TrainingPlan): Of the training.
        say (Callable[[str], None]): Gets what is wrong.
    """
    windows = WindowSettings(
        clip_len=plan.clip_len,
        sample_fps=plan.sample_fps,
        stride=plan.window_stride,
        num_levels=plan.num_levels,
    )
    report = check_annotations(content, CheckSettings(windows, classes))
    with atomic_write(path) as temporary:
        temporary.write_text(describe_check(report) + '\n', encoding='utf-8')
    say(f'{describe_findings(report.findings)}\n  the whole check: {path}')
