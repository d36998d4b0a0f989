"""Data of one's own on its way to a training: measured, split, checked, planned.

The settings of the training follow from the lengths of the actions.
"""

from __future__ import annotations

import math
import os
import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..datasets.sources import SourceFinder
from ..datasets.video import VideoReader, VideoReadError
from ..datasets.windows import training_windows
from ..structures import (
    Annotations,
    frames_to_seconds,
    num_sampled_frames,
    seconds_to_frames,
)
from ..structures.annotations import summarize_problems
from ..utils import UserError

TRAINING, VALIDATION = 'training', 'validation'
_FRAME_RATES = (1.0, 2.0, 3.0, 5.0, 10.0, 15.0, 25.0, 30.0)
_USUAL_FPS = 10.0
_CLIP_LENGTHS = (64, 96, 128, 192, 256, 384, 512)
_FIRST_STRIDE = 4
_MIN_FRAMES = 8
_ITERATIONS = 600


def measure_videos(
    database: Mapping[str, dict[str, Any]], video_dir: str
) -> dict[str, dict[str, Any]]:
    """Finds the file of each video, how long it is and its rate.

    Args:
        database: "database" of the native format; keys are video ids or file names.
        video_dir: Folder of the videos.

    Returns:
        The same with "file" (relative to the folder), "duration" and "fps".

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
        except VideoReadError as error:
            broken.append(str(error))
            continue
        facts = dict(duration=video.duration_s, fps=video.fps)
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
    """Gives each entry of a database its "subset", unless the annotation does.

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
    for new_only in (True, False):
        for name in order:
            own = set(labels[name])
            useful = own and name not in chosen and not (new_only and own <= seen)
            if useful and len(chosen) < wanted and all(left[x] > 1 for x in own):
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


@dataclass(frozen=True)
class TrainingPlan:
    """Settings of a training, and why.

    Attributes:
        sample_fps: Rate at which videos are sampled.
        clip_len: Length of a window in sampled frames.
        num_levels: Levels of the pyramid.
        window_stride: Distance of training windows in sampled frames.
        batch_size: Windows in a batch.
        epochs: Length of the training.
        reasons: One line for each setting.
    """

    sample_fps: float
    clip_len: int
    num_levels: int
    window_stride: int
    batch_size: int
    epochs: int
    reasons: tuple[str, ...]


def plan_training(
    segments: Sequence[np.ndarray],
    durations: Sequence[float],
    source_fps: float,
    epochs: int | None = None,
) -> TrainingPlan:
    """Chooses settings for the training videos.

    Args:
        segments: (G, 2) actions of each video in seconds.
        durations: Seconds of each video.
        source_fps: Lowest frame rate of the videos.
        epochs: Length of the training, if it is given.

    Raises:
        ValueError: There is no action.
    """
    lengths = np.concatenate([np.diff(s, axis=1)[:, 0] for s in segments])
    if not len(lengths):
        raise ValueError('plan_training: no action to train on')
    short, usual, long = np.quantile(lengths, [0.1, 0.5, 0.95])
    longest = lengths.max()
    fps, why_fps = _frame_rate(short, longest, source_fps)
    longest_f = seconds_to_frames(longest, fps)

    # Longer than the longest video is nothing but padding.
    needed_s = min(max(1.5 * long, 1.05 * longest), max(durations))
    needed = seconds_to_frames(needed_s, fps)
    clip_len = next((n for n in _CLIP_LENGTHS if n >= needed), _CLIP_LENGTHS[-1])
    why_clip = (
        f'holds the longest action ({longest_f:.0f} frames) and what surrounds the '
        'usual ones'
        if clip_len >= needed
        else f'the largest; the longest action has {longest_f:.0f} frames'
    )

    # Each level halves the one before without a rest.
    positions = clip_len // _FIRST_STRIDE
    most = (positions & -positions).bit_length()
    fitting = 1 + math.floor(math.log2(max(longest_f / _FIRST_STRIDE, 1)))
    levels = min(max(fitting, 3), most)

    stride, windows = clip_len // 4, 0
    for own, duration in zip(segments, durations, strict=True):
        frames = num_sampled_frames(fps, duration_s=duration)
        inside = np.clip(seconds_to_frames(own, fps), 0, frames)
        windows += len(
            training_windows(frames, inside, clip_len, stride) if len(own) else ()
        )
    batch = int(np.clip(round(4 * 128 / clip_len), 1, 8))
    batch = max(1, min(batch, windows // 4))
    iterations = max(windows // batch, 1)
    why_epochs = f'as asked for, {iterations} iterations each'
    if epochs is None:
        epochs = int(np.clip(math.ceil(_ITERATIONS / iterations), 5, 100))
        why_epochs = f'about {_ITERATIONS} iterations of {iterations} each epoch'
    reasons = (
        f'{len(lengths)} actions of {lengths.min():.2f} to {longest:.2f} s, half of '
        f'them up to {usual:.2f} s',
        f'sample_fps {fps:g}: {why_fps}',
        f'clip_len {clip_len} ({frames_to_seconds(clip_len, fps):.1f} s): {why_clip}',
        f'num_levels {levels}: locations every {_FIRST_STRIDE} to '
        f'{_FIRST_STRIDE * 2 ** (levels - 1)} frames, for actions of '
        f'{seconds_to_frames(short, fps):.0f} to {longest_f:.0f} frames',
        f'batch_size {batch}: as many frames as 4 windows of 128, from {windows} '
        'training windows',
        f'epochs {epochs}: {why_epochs}',
    )
    return TrainingPlan(fps, clip_len, levels, stride, batch, epochs, reasons)


def _frame_rate(short: float, longest: float, source_fps: float) -> tuple[float, str]:
    """The rate at which short actions have enough frames and long ones fit."""
    possible = [rate for rate in _FRAME_RATES if rate <= source_fps + 0.1] or [1.0]
    frames_of_short = {rate: seconds_to_frames(short, rate) for rate in possible}
    enough = (
        rate
        for rate, frames in frames_of_short.items()
        if rate >= _USUAL_FPS and frames >= _MIN_FRAMES
    )
    fps = next(enough, possible[-1])
    slower = [
        rate
        for rate in possible
        if seconds_to_frames(1.05 * longest, rate) <= _CLIP_LENGTHS[-1]
    ]
    if fps in slower:
        return (
            fps,
            f'a short action ({short:.2f} s) has {frames_of_short[fps]:.0f} frames',
        )
    fps = slower[-1] if slower else possible[0]
    return fps, (
        f'the longest action ({longest:.0f} s) has '
        f'{seconds_to_frames(longest, fps):.0f} frames and fits into a window of '
        f'{_CLIP_LENGTHS[-1]}'
    )


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
    width = max(map(len, annotations.classes))
    for label, name in enumerate(annotations.classes):
        trained, held_out = counts[0][label], counts[1][label]
        warning = '' if held_out else '  not in validation, so it does not count there'
        warning = warning if trained else '  no training example'
        lines.append(f'  {name:<{width}} {trained:>5} {held_out:>5}{warning}')
    return '\n'.join(lines)
