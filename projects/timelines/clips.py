"""The clips that timelines are made of, and the plan which clip comes when."""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from mmtal_mts.datasets.sources import VIDEO_EXTENSIONS
from mmtal_mts.utils.io import read_json


@dataclass(frozen=True)
class Clip:
    """One short video file.

    Attributes:
        clip_id: Name, unique among all clips.
        path: The file.
        group: Person or recording; never split between training and testing.
        actions: Start, end (seconds of the clip) and label; empty for background.
        source_start: First frame of the clip in its recording, if known.
        source_end: Frame of the recording behind the last one of the clip.
        window: Left, top, right, bottom of what is shown, as fractions of the sides.
    """

    clip_id: str
    path: str
    group: str
    actions: tuple[tuple[float, float, str], ...]
    source_start: int | None = None
    source_end: int | None = None
    window: tuple[float, float, float, float] | None = None


def _option(default: Any, text: str, **kwargs: Any) -> Any:
    return field(default=default, metadata=dict(help=text, **kwargs))


@dataclass(frozen=True)
class TimelineSettings:
    """What timelines depend on besides the clips; also the command line options.

    Groups whose order is known (``source_frames``) give one timeline in that order.
    Background is the temporal median of a clip next to it: somebody who walks through
    is not in it, somebody who waves on the spot is.
    """

    size: int = _option(96, 'side of the square frames; letterboxed without --boxes')
    fps: int = _option(25, 'frame rate')
    per_group: int = _option(1, 'timelines of each group, each in another order')
    shared_order: bool = _option(False, 'the same order(s) of labels for all groups')
    gap: tuple[float, float] = _option(
        (1.0, 3.0), 'seconds of made background between clips', type=float, nargs=2
    )
    made_background: bool = _option(True, 'make background where no clip is one')
    background_labels: tuple[str, ...] = _option(
        (), 'make background of clips with only these labels', type=str, nargs='+'
    )
    clip_fps: float | None = _option(None, 'frame rate of all clips', type=float)
    folds: int = _option(3, 'folds of the cross-validation')
    seed: int = _option(0, 'seed of orders and gaps')
    control: str | None = _option(
        None, 'show only bars, or stills', type=str, choices=('bars', 'frame')
    )

    def __post_init__(self) -> None:
        for name in ('fps', 'per_group', 'folds', 'clip_fps'):
            value = getattr(self, name)
            if value is not None and value <= 0:
                raise ValueError(f'{name} is {value}: use a number above 0')
        if self.size < 2 or self.size % 2:
            raise ValueError(f'size is {self.size}: H.264 needs an even number')
        if not 0 <= self.gap[0] <= self.gap[1]:
            raise ValueError(f'gap is {self.gap}: use two ascending numbers >= 0')


@dataclass(frozen=True)
class Part:
    """A piece of a timeline.

    Attributes:
        clip: The clip that is shown, or whose background is.
        background_s: Length of a stretch of made background; None shows the clip.
        skip_frames: Frames at the start of the clip that earlier clips have shown.
    """

    clip: Clip
    background_s: float | None = None
    skip_frames: int = 0


@dataclass(frozen=True)
class Timeline:
    """One video to be made, and the fold in which it is tested."""

    name: str
    group: str
    fold: int
    parts: tuple[Part, ...]


def read_clips(
    annotations: str | Path, video_dir: str | Path, group_by: str = 'group'
) -> list[Clip]:
    """Reads a list of clips: native JSON or CSV, see README.md.

    Raises:
        ValueError: If the file, a field or a video does not fit.
    """
    path, folder = Path(annotations), Path(video_dir)
    try:
        is_csv = path.suffix == '.csv'
        entries = _read_csv(path, group_by) if is_csv else read_json(path)['database']
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f'{path}: {error}: expected {{"database": {{CLIP: {{...}}}}}}, or a CSV '
            'with the columns video, label and optionally start, end'
        ) from error
    if not entries:
        raise ValueError(f'{path}: no clip in it')
    return [_clip(path, folder, *item, group_by) for item in entries.items()]


def _read_csv(path: Path, group_by: str) -> dict[str, dict]:
    entries: dict[str, dict] = {}
    with path.open(encoding='utf-8-sig', newline='') as file:
        for line, row in enumerate(csv.DictReader(file), start=2):
            entry = entries.setdefault(row['video'], {'annotations': []})
            if row.get(group_by):
                entry[group_by] = row[group_by]
            times = row.get('start'), row.get('end')
            try:
                segment = [float(time) for time in times] if all(times) else None
            except ValueError as error:
                raise ValueError(f'line {line}: {error}') from error
            if row['label']:
                entry['annotations'].append(dict(label=row['label'], segment=segment))
    return entries


def _clip(path: Path, folder: Path, name: str, entry: dict, group_by: str) -> Clip:
    where = f'{path}: clip {name}'
    source = entry.get('source_frames')
    if source is not None and not (len(source) == 2 and 0 <= source[0] < source[1]):
        raise ValueError(f'{where}: source_frames={source}: expected [first, last + 1]')
    actions = []
    for item in entry.get('annotations', ()):
        start, end = item['segment'] or (0.0, float('inf'))
        if not 0 <= start < end:
            raise ValueError(f'{where}: segment={item["segment"]} has no length')
        actions.append((float(start), float(end), str(item['label'])))
    file = folder / entry.get('file', name)
    names = [file, *(Path(f'{file}{suffix}') for suffix in VIDEO_EXTENSIONS)]
    found = next((candidate for candidate in names if candidate.is_file()), None)
    if found is None:
        raise ValueError(f'{where}: no video {file}.* found')
    group = str(entry.get(group_by, name))
    return Clip(Path(name).stem, str(found), group, tuple(actions), *source or ())


def show_one_box(clips: Sequence[Clip], table: str | Path) -> list[Clip]:
    """Lets the clips of a group show what all boxes of its actions have in common.

    For crops with a box for each action, whose place, scale and bars tell its class.

    Args:
        clips: All clips; those of background are left as they are.
        table: CSV with sequence ("seq" and the group), class, start_frame, x0, y0, x1
            and y1 of each action in the recording.
    """
    with Path(table).open(encoding='utf-8-sig', newline='') as file:
        rows = list(csv.DictReader(file))
    boxes: dict[str, dict[str, np.ndarray]] = {}
    for clip in (clip for clip in clips if clip.actions):
        key = f'seq{clip.group}', clip.actions[0][2]
        span = range(clip.source_start or 0, clip.source_end or 0)
        try:
            same = [row for row in rows if (row['sequence'], row['class']) == key]
            found = {int(row['start_frame']): row for row in same}
            row = found[min(found.keys() & span)]
            corners = [float(row[name]) for name in ('x0', 'y0', 'x1', 'y1')]
        except (KeyError, TypeError, ValueError) as error:
            what = f'no row {", ".join(key)} with start_frame in {span}, and x0 to y1'
            raise ValueError(f'{table}: {what}, for clip {clip.clip_id}') from error
        boxes.setdefault(clip.group, {})[clip.clip_id] = np.reshape(corners, (2, 2))
    windows = {}
    for group, own in boxes.items():
        first, last = np.stack([*own.values()], axis=1)
        common = np.stack([first.max(axis=0), last.min(axis=0)])
        if (common[0] >= common[1]).any():
            raise ValueError(f'{table}: group {group}: no common part, try --without')
        for name, (begin, end) in own.items():
            windows[name] = tuple(((common - begin) / (end - begin)).ravel().tolist())
    return [replace(clip, window=windows.get(clip.clip_id)) for clip in clips]


def plan_timelines(clips: Sequence[Clip], settings: TimelineSettings) -> list[Timeline]:
    """Orders the clips of each group.

    Where the ``source_frames`` of all actions of a group are known, its clips come in
    the order of the recording, and what two clips share is shown once. Clips of
    background without a place keep their order among each other and are dealt at
    random, but not into what other clips show without a gap.

    Raises:
        ValueError: If there are fewer groups than folds, or a group has no action, or
            none that background can be made of.
    """
    groups: dict[str, list[Clip]] = {}
    for clip in clips:
        groups.setdefault(clip.group, []).append(clip)
    if len(groups) < settings.folds:
        found = f'{len(groups)} group(s) for {settings.folds} folds'
        raise ValueError(f'{found}: lower folds, or group the clips by another field')
    labels = sorted({clip.actions[0][2] for clip in clips if clip.actions})
    timelines = []
    # Names that are numbers in the order of the numbers.
    for index, group in enumerate(sorted(groups, key=lambda name: (len(name), name))):
        actions = [clip for clip in groups[group] if clip.actions]
        if not actions:
            raise ValueError(f'group {group} has no clip with an action')
        ordered = all(clip.source_start is not None for clip in actions)
        for number in range(1 if ordered else settings.per_group):
            rng = np.random.default_rng([settings.seed, index, number])
            if ordered:
                shown = _in_recording_order(groups[group])
            else:
                shown = [Part(actions[i]) for i in rng.permutation(len(actions))]
                if settings.shared_order:
                    order = np.random.default_rng([settings.seed, number])
                    rank = order.permutation(labels).tolist().index
                    shown.sort(key=lambda part: rank(part.clip.actions[0][2]))
            parts = _add_background(groups[group], shown, ordered, settings, rng)
            name, fold = f'{group}_{number}', index % settings.folds
            timelines.append(Timeline(name, group, fold, parts))
    return timelines


def _in_recording_order(members: Sequence[Clip]) -> list[Part]:
    """Clips that know their place, each from the frame that is new in it."""
    known = [clip for clip in members if clip.source_start is not None]
    parts, shown = [], 0
    for clip in sorted(known, key=lambda clip: clip.source_start):
        skip = max(shown - clip.source_start, 0) if parts else 0
        shown = max(shown, clip.source_end)
        if clip.actions or skip < clip.source_end - clip.source_start:
            parts.append(Part(clip, skip_frames=skip))
    return parts


def _add_background(
    members: Sequence[Clip],
    shown: Sequence[Part],
    ordered: bool,
    settings: TimelineSettings,
    rng: np.random.Generator,
) -> tuple[Part, ...]:
    background = [clip for clip in members if not clip.actions]
    make = settings.made_background and not background
    if ordered:
        background = [clip for clip in background if clip.source_start is None]
    # Place i is before the clip i, the last one behind all.
    places = [i for i, part in enumerate(shown) if not part.skip_frames] + [len(shown)]
    slots = np.sort(rng.integers(0, len(places), size=len(background)))
    parts: list[Part] = []
    for place in range(len(shown) + 1):
        here = [places[slot] == place for slot in slots]
        parts += [Part(c) for c, fits in zip(background, here, strict=True) if fits]
        if make and place in places:
            scene = _nearest_scene(shown, place, settings.background_labels)
            parts.append(Part(scene, float(rng.uniform(*settings.gap))))
        parts += shown[place : place + 1]
    return tuple(parts)


def _nearest_scene(shown: Sequence[Part], place: int, labels: Sequence[str]) -> Clip:
    """The clip nearest to a place that background can be made of."""
    seen = [{label for *_, label in part.clip.actions} for part in shown]
    usable = [i for i, own in enumerate(seen) if not labels or own <= set(labels)]
    if not usable:
        group, wanted = shown[0].clip.group, ', '.join(labels)
        raise ValueError(f'group {group} has no clip with only {wanted} for background')
    # Of two as near, the one that follows.
    return shown[min(usable, key=lambda i: (abs(i - place + 0.5), -i))].clip


def place_background(
    clips: Sequence[Clip], measure: Callable[[Clip], tuple[tuple, int, float]]
) -> list[Clip]:
    """Gives clips of background their place in the recording.

    For data sets that cut every action with a box of its own, and the time before it,
    in windows one after the other, with the same box. So a clip of background belongs
    into the next gap before an action of the same picture size that has room left; the
    windows of a gap are put in its middle. A gap is from the end of one action to the
    start of the next, without the context that clips have. Window as of the action.

    Args:
        clips: All clips; those of background in the order of the recording.
        measure: Returns (height, width), number of frames and frame rate of a clip.
    """
    placed = {clip.clip_id: clip for clip in clips}
    for group in dict.fromkeys(clip.group for clip in clips):
        members = [clip for clip in clips if clip.group == group]
        lost = [c for c in members if not c.actions and c.source_start is None]
        actions = [clip for clip in members if clip.actions]
        if lost and all(clip.source_start is not None for clip in actions):
            for begin, until, like, _, fitted in _fill_gaps(actions, lost, measure):
                at = (begin + until - sum(count for _, count in fitted)) // 2
                for clip, count in fitted:
                    place = dict(source_start=at, source_end=at + count)
                    placed[clip.clip_id] = replace(clip, window=like.window, **place)
                    at += count
    return list(placed.values())


def _fill_gaps(
    actions: Sequence[Clip], lost: Sequence[Clip], measure: Callable
) -> list[tuple[int, int, Clip, tuple, list[tuple[Clip, int]]]]:
    """First frame, frame behind, action, its picture size, clips and their lengths."""
    gaps, end = [], 0
    for action in sorted(actions, key=lambda clip: clip.source_start):
        size, num_frames, fps = measure(action)
        starts, ends, _ = zip(*action.actions, strict=True)
        until = action.source_start + round(min(starts) * fps)
        gaps.append((end, until, action, size, []))
        end = max(end, action.source_start + min(round(max(ends) * fps), num_frames))
    first = 0
    for clip in lost:
        size, num_frames, _ = measure(clip)
        for i, (begin, until, _, box, fitted) in enumerate(gaps[first:], first):
            used = sum(count for _, count in fitted)
            # Codecs want even sizes, so crops of one box may differ.
            close = max(abs(a - b) for a, b in zip(box, size, strict=True)) <= 2
            if close and begin + used + num_frames <= until:
                fitted.append((clip, num_frames))
                first = i
                break
    return gaps
