"""Which clip comes when: the plan of each timeline, before any frame is read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .clips import Clip


@dataclass(frozen=True)
class TimelineSettings:
    """Everything a set of timelines depends on besides the clips.

    Attributes:
        size: Side of the square frames in pixels; clips are letterboxed.
        fps: Frame rate.
        per_group: Timelines of each group, each in another order. Groups whose order
            is known (``source_frames``) give one.
        shared_order: Whether timeline i of every group shows its labels in the same
            random order, so that what comes before and after an action tells
            something about it. Groups whose order is known keep theirs.
        gap: Shortest and longest stretch of made background in seconds between
            clips, where a group has no clips of background.
        made_background: Whether such stretches are made: from the temporal median
            of a clip next to them, which somebody who walks through is not in. Without,
            clips of such a group follow each other directly.
        background_labels: Labels of the clips that background is made of; empty: of
            any. The median of a clip in which somebody waves on the spot shows them.
        clip_fps: Frame rate of all clips; None: what the files say.
        folds: Number of folds of the cross-validation.
        seed: Seed of orders and gaps.
    """

    size: int = 96
    fps: int = 25
    per_group: int = 1
    shared_order: bool = False
    gap: tuple[float, float] = (1.0, 3.0)
    made_background: bool = True
    background_labels: tuple[str, ...] = ()
    clip_fps: float | None = None
    folds: int = 3
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ('size', 'fps', 'per_group', 'folds'):
            if getattr(self, name) < 1:
                raise ValueError(f'{name} is {getattr(self, name)}: use at least 1')
        if self.size % 2:
            raise ValueError(f'size is {self.size}: H.264 needs an even number')
        if self.clip_fps is not None and self.clip_fps <= 0:
            raise ValueError(f'clip_fps is {self.clip_fps}: use a number above 0')
        if not 0 <= self.gap[0] <= self.gap[1]:
            raise ValueError(f'gap is {self.gap}: use two ascending numbers >= 0')


@dataclass(frozen=True)
class Part:
    """A piece of a timeline.

    Attributes:
        clip: The clip that is shown, or whose background is.
        background_s: Length of a stretch of made background; None shows the clip.
        skip_frames: Frames of the recording to leave out at the start of the clip,
            because the clips right before have shown them.
    """

    clip: Clip
    background_s: float | None = None
    skip_frames: int = 0


@dataclass(frozen=True)
class Timeline:
    """One video to be made.

    Attributes:
        name: Name of the video.
        group: Group of its clips.
        fold: The fold in which it is tested.
        parts: Its pieces in order.
    """

    name: str
    group: str
    fold: int
    parts: tuple[Part, ...]


def plan_timelines(clips: Sequence[Clip], settings: TimelineSettings) -> list[Timeline]:
    """Orders the clips of each group.

    Where the ``source_frames`` of all actions of a group are known, its clips come in
    the order of the recording, and what two clips share is shown once. Clips of
    background that do not know theirs keep their order among each other and are dealt
    at random, but not into what other clips show without a gap.

    Args:
        clips: All clips.
        settings: Settings of the set.

    Returns:
        The timelines, group by group in alphabetical order.

    Raises:
        ValueError: If there are fewer groups than folds, or a group has no action, or
            none that background can be made of.
    """
    groups: dict[str, list[Clip]] = {}
    for clip in clips:
        groups.setdefault(clip.group, []).append(clip)
    if len(groups) < settings.folds:
        raise ValueError(
            f'{len(groups)} group(s) cannot be split into {settings.folds} folds: '
            'lower folds, or group the clips by another field'
        )
    labels = sorted({clip.actions[0][2] for clip in clips if clip.actions})
    timelines = []
    # Names that are numbers in the order of the numbers.
    names = sorted(groups, key=lambda name: (len(name), name))
    for index, group in enumerate(names):
        members = groups[group]
        actions = [clip for clip in members if clip.actions]
        if not actions:
            raise ValueError(f'group {group} has no clip with an action')
        ordered = all(clip.source_start is not None for clip in actions)
        for number in range(1 if ordered else settings.per_group):
            rng = np.random.default_rng([settings.seed, index, number])
            if ordered:
                shown = _in_recording_order(members)
            else:
                shown = [Part(actions[i]) for i in rng.permutation(len(actions))]
                if settings.shared_order:
                    order = np.random.default_rng([settings.seed, number])
                    shown = _by_label(shown, order.permutation(labels).tolist())
            parts = _arrange(members, shown, ordered, settings, rng)
            name = f'{group}_{number}'
            timelines.append(Timeline(name, group, index % settings.folds, parts))
    return timelines


def _arrange(
    members: Sequence[Clip],
    shown: Sequence[Part],
    ordered: bool,
    settings: TimelineSettings,
    rng: np.random.Generator,
) -> tuple[Part, ...]:
    background = [clip for clip in members if not clip.actions]
    has_background = bool(background)
    if ordered:
        background = [clip for clip in background if clip.source_start is None]
    # Place i is before the clip i, the last one behind all.
    places = [i for i, part in enumerate(shown) if not part.skip_frames] + [len(shown)]
    slots = np.sort(rng.integers(0, len(places), size=len(background)))
    parts: list[Part] = []
    for place in range(len(shown) + 1):
        parts += [
            Part(clip) for clip, slot in zip(background, slots) if places[slot] == place
        ]
        if not has_background and settings.made_background and place in places:
            neighbour = _scene(shown, place, settings.background_labels)
            parts.append(Part(neighbour, float(rng.uniform(*settings.gap))))
        parts += shown[place : place + 1]
    return tuple(parts)


def _by_label(shown: Sequence[Part], labels: Sequence[str]) -> list[Part]:
    """Parts in the order of labels; those of one label stay as they are."""
    return sorted(shown, key=lambda part: labels.index(part.clip.actions[0][2]))


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


def _scene(shown: Sequence[Part], place: int, labels: Sequence[str]) -> Clip:
    """The clip nearest to a place that background can be made of."""
    usable = [
        i
        for i, part in enumerate(shown)
        if not labels or {label for _, _, label in part.clip.actions} <= set(labels)
    ]
    if not usable:
        raise ValueError(
            f'group {shown[0].clip.group} has no clip with (only) the labels '
            f'{", ".join(labels)}, which background is to be made of'
        )
    # Of two as near, the one that follows.
    return shown[min(usable, key=lambda i: (abs(i - place + 0.5), -i))].clip
