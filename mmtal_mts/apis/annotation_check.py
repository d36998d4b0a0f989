"""Checks an annotation file before a training that would suffer from it."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from ..datasets.windows import training_windows
from ..models.task_modules import SegmentAssigner, SegmentPointGenerator
from ..structures.annotations import (
    VideoAnnotation,
    annotation_list,
    class_names,
    parse_entry,
    select_subsets,
)
from ..structures.timebase import (
    frames_to_seconds,
    mean_rate,
    num_sampled_frames,
    seconds_to_frames,
)
from .annotation_report import CheckReport, Findings
from .annotation_sources import check_sources

# Frames by which conventions (counting from 0 or 1, rounding) may differ.
_FRAME_TOLERANCE = 1.5
# With room for rounding: 0.2 s at 10 fps are two.
_MIN_FRAMES = 2.0 - 1e-6


@dataclass(frozen=True)
class WindowSettings:
    """How a training cuts videos and lays out its pyramid.

    Attributes:
        clip_len: Window in sampled frames.
        sample_fps: Rate of sampling.
        stride: Distance of windows in sampled frames.
        frames_per_video: Number of frames to sample from every video instead of a
            common rate (ActivityNet).
        one_based_window: AFSD's windows, see
            :func:`~mmtal_mts.datasets.windows.training_windows`.
        first_stride: Sampled frames per location of the finest level.
        num_levels: Levels, each with half the locations of the one before.
    """

    clip_len: int = 256
    sample_fps: float = 10.0
    stride: int = 30
    frames_per_video: int | None = None
    one_based_window: bool = False
    first_stride: int = 4
    num_levels: int = 6

    def sampling(self, duration: float) -> tuple[float, int]:
        """Returns rate and number of the sampled frames of a video."""
        if self.frames_per_video is not None:
            return mean_rate(self.frames_per_video, duration), self.frames_per_video
        count = num_sampled_frames(self.sample_fps, duration_s=duration)
        return self.sample_fps, count

    @property
    def level_lengths(self) -> list[int]:
        """Locations per level of a window, finest first."""
        lengths = [-(-self.clip_len // self.first_stride)]
        while len(lengths) < self.num_levels:
            lengths.append(-(-lengths[-1] // 2))
        return lengths


@dataclass(frozen=True)
class CheckSettings:
    """What to check against.

    Attributes:
        windows: Of the training.
        classes: Class names; by default the file's own "classes", else its labels.
        subsets: Subsets to check; empty: all.
        video_dirs: Folders of videos, or of frames that were extracted from them;
            empty does not look at them.
    """

    windows: WindowSettings = field(default_factory=WindowSettings)
    classes: Sequence[str] | None = None
    subsets: Sequence[str] = ()
    video_dirs: Sequence[str] = ()


@dataclass
class CheckedVideo(VideoAnnotation):
    """The usable part of an entry; its actions are cut to the video.

    Attributes:
        labels: Class names of the actions.
        indices: Positions of the actions in "annotations".
        num_annotations: All annotations, usable or not.
    """

    labels: list[str]
    indices: list[int]
    num_annotations: int

    def places(self) -> Iterator[tuple[int, str]]:
        """Yields position in "annotations" and description of each action."""
        for index, label, (start, end) in zip(
            self.indices, self.labels, self.actions.segments.tolist(), strict=True
        ):
            yield index, f'{self.video_id} [{start:g}, {end:g}] {label}'


@dataclass
class Coverage:
    """What the windows hold of each action, over all videos.

    Attributes:
        subsets: Per action, its subset.
        lengths_f: (A,) length in sampled frames.
        num_windows: (A,) kept windows that are annotated with it.
        num_assigned: (A,) locations that are trained on it, in the window where they
            are most.
        num_inside: (A, L) locations of each level inside it, in the window where they
            are most.
        kept_windows: Kept windows by subset.
    """

    subsets: list[str]
    lengths_f: np.ndarray
    num_windows: np.ndarray
    num_assigned: np.ndarray
    num_inside: np.ndarray
    kept_windows: dict[str, int]


def check_annotations(
    content: dict[str, Any],
    settings: CheckSettings,
    duplicate_keys: Sequence[str] = (),
) -> CheckReport:
    """Checks an annotation file.

    Args:
        content: The file, in the native format.
        settings: What to check against.
        duplicate_keys: Keys that stand more than once in the same object of the file.

    Returns:
        Problems and statistics.

    Raises:
        UserError: A subset is not there, "classes" is no list of names, or a folder of
            videos holds none.
    """
    findings = Findings()
    for key in duplicate_keys:
        findings.add('duplicate-key', None, repr(key))
    database, windows = content['database'], settings.windows
    classes = class_names(content, settings.classes)
    videos = [
        _check_entry(video_id, database[video_id], classes, windows, findings)
        for video_id in select_subsets(database, settings.subsets or None)
    ]
    per_class: dict[str, Counter[str]] = {}
    for video in videos:
        per_class.setdefault(video.subset, Counter()).update(video.labels)
    for subset, found in per_class.items():
        # A subset without any action is not annotated, such as ActivityNet's test set.
        for name in classes if found else ():
            if not found[name]:
                where = f'{name} in {subset or "(no subset)"}'
                findings.add('class-missing', None, where, group=subset)
    coverage = _check_coverage(videos, windows, findings)
    rate = windows.sample_fps if windows.frames_per_video is None else None
    check_sources(videos, settings.video_dirs, rate, findings)
    return CheckReport(findings, videos, classes, per_class, coverage, settings)


def _check_entry(
    video_id: str,
    entry: Any,
    classes: Sequence[str],
    windows: WindowSettings,
    findings: Findings,
) -> CheckedVideo:
    """Checks one entry by itself."""
    parsed, found = parse_entry(video_id, entry, classes, 'clamp')
    findings += found
    items = annotation_list(entry) or []
    unusable = {f.index for f in found if f.outcome in ('error', 'dropped')}
    indices = [index for index in range(len(items)) if index not in unusable]
    labels = [items[index]['label'] for index in indices]
    video = CheckedVideo(
        **vars(parsed), labels=labels, indices=indices, num_annotations=len(items)
    )
    sample_fps = windows.sample_fps
    if video.duration is not None:
        sample_fps, _ = windows.sampling(video.duration)
    elif all(finding.index is not None for finding in found):
        findings.add('no-duration', video_id, video_id)
    lengths_f = seconds_to_frames(np.diff(video.actions.segments)[:, 0], sample_fps)
    # As they stand in the file; cutting makes different ones alike.
    seen: dict[tuple[float, ...], list[str]] = defaultdict(list)
    for (index, where), label, frames in zip(
        video.places(), labels, lengths_f.tolist(), strict=True
    ):
        if frames < _MIN_FRAMES:
            message = f'{where}: {frames:.2f} sampled frames'
            findings.add('too-short', video_id, message, index, weight=-frames)
        others = seen[tuple(map(float, items[index]['segment']))]
        if label in others:
            findings.add('duplicate', video_id, where, index, label)
            continue
        for other in others:
            pair = ' + '.join(sorted((label, other)))
            findings.add('double-label', video_id, where, index, pair)
        others.append(label)
    pairs = [
        (items[index]['segment'], items[index]['segment(frames)'])
        for index in indices
        if isinstance(items[index].get('segment(frames)'), list)
        and len(items[index]['segment(frames)']) == 2
    ]
    if video.fps is not None and pairs:
        _check_frames(video, pairs, findings)
    return video


def _check_frames(video: CheckedVideo, pairs: list[Any], findings: Findings) -> None:
    """Compares segments in seconds with what the file says of them in frames."""
    try:
        seconds_s, given_f = np.array(pairs, dtype=np.float64).swapaxes(0, 1)
    except (TypeError, ValueError):
        message = f'{video.video_id}: "segment(frames)" must be two numbers'
        findings.add('malformed', video.video_id, message)
        return
    off_f = given_f - seconds_to_frames(seconds_s, video.fps)
    # Counting from 1 moves all frames alike.
    wrong = np.abs(off_f).max(axis=1) > _FRAME_TOLERANCE
    if not wrong.any():
        return
    worst = off_f.flat[np.abs(off_f).argmax()]
    off_s = frames_to_seconds(abs(worst), video.fps)
    rate = np.median(given_f[wrong, 1] / seconds_s[wrong, 1])
    message = (
        f'{video.video_id}: {wrong.sum()} of {len(wrong)} actions up to '
        f'{abs(worst):.0f} frames = {off_s:.2f} s {"late" if worst > 0 else "early"}: '
        f'"fps" is {video.fps:g}, the frame columns were made with {rate:.2f}'
    )
    findings.add('fps-contradiction', video.video_id, message, weight=off_s)


# What a training can see of the actions: its windows and pyramid locations


def _check_coverage(
    videos: Sequence[CheckedVideo], windows: WindowSettings, findings: Findings
) -> Coverage:
    """Cuts videos as a training does and follows every action."""
    points = SegmentPointGenerator().level_points(
        windows.level_lengths, windows.clip_len
    )
    tables, subsets = [np.zeros((0, 3 + windows.num_levels))], []
    kept: Counter[str] = Counter()
    for video in videos:
        if video.duration is None:
            continue
        table, num_windows = _cover(video, windows, points)
        tables.append(table)
        subsets += [video.subset] * len(table)
        kept[video.subset] += num_windows
        if len(table) and not num_windows:
            message = f'{video.video_id}: {len(table)} actions'
            findings.add('no-window', video.video_id, message, group=video.subset)
        for (length_f, in_windows, assigned, *inside), (index, where) in zip(
            table.tolist(), video.places(), strict=True
        ):
            kind, message = '', f'{where}: {length_f:.1f} sampled frames'
            if not in_windows:
                kind = 'uncovered'
            elif not sum(inside):
                kind = 'no-location'
            elif not assigned:
                kind = 'shadowed'
                message = f'{where}: {sum(inside):.0f} locations inside, 0 left'
            if kind:
                findings.add(
                    kind, video.video_id, message, index, video.subset, length_f
                )
    lengths_f, *counts = np.concatenate(tables).T
    num_windows, num_assigned, *num_inside = np.array(counts, dtype=int)
    return Coverage(
        subsets, lengths_f, num_windows, num_assigned, np.stack(num_inside, 1), kept
    )


def _cover(
    video: CheckedVideo, windows: WindowSettings, points: Sequence[torch.Tensor]
) -> tuple[np.ndarray, int]:
    """A row (length, windows, assigned, inside...) per action, and the windows."""
    sample_fps, num_frames = windows.sampling(video.duration)
    segments = seconds_to_frames(video.actions.segments, sample_fps)
    segments = np.clip(segments, 0, num_frames)
    table = np.zeros((len(segments), 3 + windows.num_levels))
    table[:, 0] = np.diff(segments)[:, 0]
    # Those in the last, incomplete sampling interval vanish in the data set too.
    usable = np.flatnonzero(table[:, 0] > 0)
    cut = training_windows(
        num_frames,
        segments[usable],
        windows.clip_len,
        windows.stride,
        one_based_window=windows.one_based_window,
    )
    for window in cut:
        start, end = window.segments[:, :1], window.segments[:, 1:]
        count = len(window.segments)
        # The actions themselves as classes: the answer names the action.
        owner, _ = SegmentAssigner().assign(
            points, torch.from_numpy(window.segments), torch.arange(count), count
        )
        most = np.zeros((count, 1 + windows.num_levels))
        most[:, 0] = np.bincount(owner.numpy(), minlength=count + 1)[:count]
        for level, places in enumerate(points, start=1):
            places = places.numpy()
            most[:, level] = ((places >= start) & (places <= end)).sum(axis=1)
        rows = usable[window.indices]
        table[rows, 1] += 1
        table[rows, 2:] = np.maximum(table[rows, 2:], most)
    return table, len(cut)
