"""Checks an annotation file before a training that would suffer from it."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from ..datasets.sources import VIDEO_EXTENSIONS, SourceFinder, read_record
from ..datasets.stored import count_images, open_array
from ..datasets.video import VideoReader, VideoReadError
from ..datasets.windows import cut_video
from ..models.task_modules import SegmentAssigner, SegmentPointGenerator
from ..structures import timebase
from ..structures.annotations import (
    Finding,
    VideoAnnotation,
    annotation_list,
    class_names,
    parse_entry,
    select_subsets,
)
from ..utils.errors import UserError
from .annotation_report import CheckReport

# Messages on an action, with the columns of its table.
_LONG = '{text}: {length_f:.1f} sampled frames'
_SHADOWED = '{text}: {inside:.0f} locations inside, 0 left'
# Frames by which conventions (counting from 0 or 1, rounding) may differ.
_FRAME_TOLERANCE = 1.5
# With room for rounding: 0.2 s at 10 fps are two.
_MIN_FRAMES = 2.0 - 1e-6
# Relative; 29.97 and 30 differ by 0.1 %.
_RATE_TOLERANCE = 5e-4


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

    def rate_of(self, video: VideoAnnotation) -> float:
        """Sampled frames per second; ``sample_fps`` if the duration is not known."""
        if self.frames_per_video is None or video.duration is None:
            return self.sample_fps
        return timebase.mean_rate(self.frames_per_video, video.duration)

    def cut(self, video: VideoAnnotation) -> tuple[np.ndarray, list[dict[str, Any]]]:
        """Cuts a video of known duration as a training does.

        Returns:
            Lengths (A,) of the actions in complete sampling intervals, and the items
            of the windows; ``gt_labels`` are positions of actions.
        """
        rate, count = self.rate_of(video), self.frames_per_video
        if count is None:
            count = timebase.num_sampled_frames(rate, duration_s=video.duration)
        actions = replace(video.actions, labels=np.arange(len(video.actions)))
        ends_f = np.clip(timebase.seconds_to_frames(actions.segments, rate), 0, count)
        facts = dict(num_sampled_frames=count, sample_fps=rate)
        names = 'clip_len', 'stride', 'one_based_window'
        items, _ = cut_video(facts, actions, **{n: getattr(self, n) for n in names})
        return ends_f[:, 1] - ends_f[:, 0], items

    @property
    def level_strides(self) -> list[int]:
        """Sampled frames per location of each level, finest first."""
        return [self.first_stride * 2**level for level in range(self.num_levels)]

    @property
    def level_names(self) -> list[str]:
        """Names of the levels: 's4' has a location every four sampled frames."""
        return [f's{stride}' for stride in self.level_strides]


def check_annotations(
    content: dict[str, Any],
    windows: WindowSettings = WindowSettings(),  # noqa: B008 (immutable)
    *,
    classes: Sequence[str] | None = None,
    subsets: Sequence[str] = (),
    video_dirs: Sequence[str] = (),
    duplicate_keys: Sequence[str] = (),
) -> CheckReport:
    """Checks an annotation file.

    Args:
        content: The file, in the native format.
        windows: Of the training.
        classes: Class names; by default the file's own "classes", else its labels.
        subsets: Subsets to check; empty: all.
        video_dirs: Folders of video files, of arrays, or of folders of images, to
            compare with; two of the same videos, for instance RGB and flow, are
            compared with each other. Arrays without a record are at the rate of the
            training.
        duplicate_keys: Keys that stand more than once in the same object of the file.

    Returns:
        Problems and statistics.

    Raises:
        UserError: A subset is not there, "classes" is no list of names, or a folder of
            videos is missing or holds none.
    """
    findings = [Finding('duplicate-key', repr(key)) for key in duplicate_keys]
    names = class_names(content, classes)
    label_of = {name: label for label, name in enumerate(names)}
    lengths = [-(-windows.clip_len // stride) for stride in windows.level_strides]
    points = SegmentPointGenerator().level_points(lengths, windows.clip_len)
    parsed, videos, actions, numbers = [], [], [], [np.zeros((0, 3 + len(points)))]
    for video_id in select_subsets(content['database'], subsets or None):
        entry = content['database'][video_id]
        video, items, found = parse_entry(video_id, entry, label_of)
        findings += found
        if video.duration is None and all(f.index is not None for f in found):
            findings.append(Finding('no-duration', video_id, video_id))
        segments = video.actions.segments.tolist()
        for (index, item), (start, end) in zip(items.items(), segments, strict=True):
            label, times = item['label'], tuple(map(float, item['segment']))
            text = f'{video_id} [{start:g}, {end:g}] {label}'
            actions.append((video_id, video.subset, index, label, times, text))
            # Of the annotation; the last sampled frame may end an action earlier.
            frames = timebase.seconds_to_frames(end - start, windows.rate_of(video))
            if frames < _MIN_FRAMES:
                text += f': {frames:.2f} sampled frames'
                place = video_id, index
                findings.append(Finding('too-short', text, *place, weight=-frames))
        followed, kept = _follow(video, windows, points)
        numbers.append(followed)
        parsed.append(video)
        count = len(annotation_list(entry) or ())
        videos.append((video_id, video.subset, count, len(items), kept))
        findings += _check_frames(video, items.values())
    columns = 'video_id', 'subset', 'annotations', 'actions', 'windows'
    videos = pd.DataFrame(videos, columns=columns)
    columns = 'video_id', 'subset', 'position', 'label', 'times', 'text'
    actions = pd.DataFrame(actions, columns=columns)
    levels = windows.level_names
    actions[['length_f', 'windows', 'assigned', *levels]] = np.concatenate(numbers)
    actions['inside'] = actions[levels].sum(axis=1, skipna=False)
    unseen = [actions[name] == 0 for name in ('windows', 'inside', 'assigned')]
    problems = ['uncovered', 'no-location', 'shadowed']
    actions['problem'] = np.select(unseen, problems, '')
    report = CheckReport(findings, names, windows, videos, actions)
    findings += _check_tables(report)
    findings += _check_sources(parsed, video_dirs, windows)
    return report


def _follow(
    video: VideoAnnotation, windows: WindowSettings, points: Sequence[torch.Tensor]
) -> tuple[np.ndarray, int | None]:
    """Finds what a training sees of each action, and how many windows it keeps."""
    table = np.full((len(video.actions), 3 + len(points)), np.nan)
    if video.duration is None:
        return table, None
    table[:, 1:] = 0
    table[:, 0], items = windows.cut(video)
    for item in items:
        segments, places = item['gt_segments'], item['gt_labels']
        # The actions themselves as classes: the answer names the action.
        count, actions = len(places), torch.from_numpy(segments)
        owner, _ = SegmentAssigner().assign(points, actions, torch.arange(count), count)
        counts = [np.bincount(owner.numpy(), minlength=count + 1)[:-1]]
        for level in (level.numpy() for level in points):
            inside = (level >= segments[:, :1]) & (level <= segments[:, 1:])
            counts.append(inside.sum(axis=1))
        table[places, 1] += 1
        table[places, 2:] = np.maximum(table[places, 2:], np.stack(counts, axis=1))
    return table, len(items)


def _check_frames(video: VideoAnnotation, items: Iterable[Any]) -> Iterator[Finding]:
    """Compares segments in seconds with what the file says of them in frames."""
    pairs = [
        (item['segment'], item['segment(frames)'])
        for item in items
        if isinstance(item.get('segment(frames)'), list)
        and len(item['segment(frames)']) == 2
    ]
    if video.fps is None or not pairs:
        return
    try:
        seconds_s, given_f = np.array(pairs, dtype=np.float64).swapaxes(0, 1)
    except (TypeError, ValueError):
        text = f'{video.video_id}: "segment(frames)" must be two numbers'
        yield Finding('malformed', text, video.video_id)
        return
    off_f = given_f - timebase.seconds_to_frames(seconds_s, video.fps)
    # Counting from 1 moves all frames alike.
    wrong = np.abs(off_f).max(axis=1) > _FRAME_TOLERANCE
    if wrong.any():
        worst = off_f.flat[np.abs(off_f).argmax()]
        off_s = timebase.frames_to_seconds(abs(worst), video.fps)
        rate = np.median(given_f[wrong, 1] / seconds_s[wrong, 1])
        text = (
            f'{video.video_id}: {wrong.sum()} of {len(wrong)} actions up to '
            f'{abs(worst):.0f} frames = {off_s:.2f} s '
            f'{"late" if worst > 0 else "early"}: "fps" is {video.fps:g}, the frame '
            f'columns were made with {rate:.2f}'
        )
        yield Finding('fps-contradiction', text, video.video_id, weight=off_s)


def _check_tables(report: CheckReport) -> Iterator[Finding]:
    """Finds what is odd about actions, classes and windows."""
    actions, problem = report.actions, report.actions.problem
    again = actions.duplicated(['video_id', 'times', 'label'])
    by_length = 'subset', actions.length_f
    for kind, chosen, text, group, weight in (
        ('duplicate', again, '{text}', 'label', 0.0),
        ('uncovered', problem == 'uncovered', _LONG, *by_length),
        ('no-location', problem == 'no-location', _LONG, *by_length),
        ('shadowed', problem == 'shadowed', _SHADOWED, *by_length),
    ):
        for row in actions.assign(weight=weight)[chosen].to_dict('records'):
            place = text.format_map(row), row['video_id'], row['position']
            yield Finding(kind, *place, row.get(group, ''), row['weight'])
    alike = actions[~again & actions.duplicated(['video_id', 'times'], keep=False)]
    for _, same in alike.groupby(['video_id', 'times'], sort=False):
        for first, row in combinations(same.itertuples(), 2):
            pair = ' + '.join(sorted((first.label, row.label)))
            yield Finding('double-label', row.text, row.video_id, row.position, pair)
    for subset, column in report.per_class.items():
        # A subset without any action is not annotated, such as ActivityNet's test set.
        for name in column.index[column == 0] if column.any() else ():
            text = f'{name} in {subset or "(no subset)"}'
            yield Finding('class-missing', text, group=subset)
    videos = report.videos
    for row in videos[(videos.actions > 0) & (videos.windows == 0)].itertuples():
        text = f'{row.video_id}: {row.actions} actions'
        yield Finding('no-window', text, row.video_id, group=row.subset)


def _check_sources(
    videos: Sequence[VideoAnnotation], folders: Sequence[str], windows: WindowSettings
) -> Iterator[Finding]:
    """Opens the sources of every annotated video and compares length and rate."""
    counts: dict[str, list[tuple[str, int]]] = defaultdict(list)
    for folder in folders:
        kind, unused, record = _sources_in(folder)
        finder = SourceFinder(folder, kind)
        for video in videos:
            name = video.video_id
            path = finder.find(name, video.file)
            if path is None:
                expected = finder.expected(name, video.file)
                yield Finding('missing-video', expected, name)
                continue
            unused.pop(os.path.realpath(path), None)
            try:
                count, fps, length_s = _measure(path, kind, video, windows, record)
            except VideoReadError as error:
                yield Finding('unreadable-video', str(error), name)
                continue
            if kind != 'video':
                counts[name].append((path, count))
            elif video.fps and abs(video.fps - fps) > _RATE_TOLERANCE * fps:
                text = f'{path}: {fps:g} fps, "fps" is {video.fps:g}'
                yield Finding('fps-mismatch', text, name)
            duration = video.duration if length_s is not None else None
            tolerance_s = timebase.length_tolerance_s(duration or 0.0)
            if duration is not None and abs(length_s - duration) > tolerance_s:
                text = f'{path}: {count} frames at {fps:g} fps = {length_s:.2f} s'
                text += f', "duration" is {duration:g} s'
                yield Finding('duration-mismatch', text, name)
            if record and record.num_frames not in (None, count):
                text = f'but it was extracted to {record.num_frames}'
                yield Finding('frame-count', f'{path}: {count} frames, {text}', name)
        for path in unused.values():
            yield Finding('extra-video', str(path))
    for name, found in counts.items():
        if len({count for _, count in found}) > 1:
            text = ', '.join(f'{path} has {count} frames' for path, count in found)
            yield Finding('stream-mismatch', text, name)


def _sources_in(folder: str) -> tuple[str, dict[str, Path], Any]:
    """Returns the type of the sources in a folder, them by real path, the record."""
    if not os.path.isdir(folder):
        raise UserError(f'{folder}: no such folder (--videos)')
    found: dict[str, dict[str, Path]] = {'video': {}, 'npy': {}, 'frames': {}}
    for path in sorted(Path(folder).iterdir()):
        suffix = path.suffix.lower()
        kind = 'frames' if path.is_dir() else 'npy' if suffix == '.npy' else 'video'
        is_source = kind != 'video' or suffix in VIDEO_EXTENSIONS
        if is_source and not path.name.startswith('.'):
            found[kind][os.path.realpath(path)] = path
    record = read_record(folder)
    kind = record.layout if record else next(filter(found.get, found), None)
    if kind is None:
        raise UserError(
            f'{folder}: holds no video files, no .npy arrays and no folders of images '
            '(--videos)'
        )
    return kind, found[kind], record


def _measure(
    path: str, kind: str, video: VideoAnnotation, windows: WindowSettings, record: Any
) -> tuple[int, float | None, float | None]:
    """Number of frames, their rate and seconds as far as they are known."""
    if kind == 'video':
        reader = VideoReader(path)
        return reader.num_frames, reader.fps, reader.duration_s
    fps = windows.sample_fps if windows.frames_per_video is None else None
    if kind == 'frames':
        count, fps = count_images(path), video.fps
    else:
        try:
            count = len(open_array(path, record.modality if record else 'RGB'))
        except VideoReadError:
            # Without a record it is either modality.
            if record is not None:
                raise
            count = len(open_array(path, 'Flow'))
    fps = record.fps if record else fps
    return count, fps, fps and timebase.frames_to_seconds(count, fps)
