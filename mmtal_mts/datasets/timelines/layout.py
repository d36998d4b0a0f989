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
        gap: Shortest and longest stretch of made background in seconds between
            clips, where a group has no clips of background.
        made_background: Whether such stretches are made: from the temporal median
            of the clip next to them, which a moving person is not in. Without, clips
            of such a group follow each other directly.
        folds: Number of folds of the cross-validation.
        seed: Seed of orders and gaps.
    """

    size: int = 96
    fps: int = 25
    per_group: int = 1
    gap: tuple[float, float] = (1.0, 3.0)
    made_background: bool = True
    folds: int = 3
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ('size', 'fps', 'per_group', 'folds'):
            if getattr(self, name) < 1:
                raise ValueError(f'{name} is {getattr(self, name)}: use at least 1')
        if self.size % 2:
            raise ValueError(f'size is {self.size}: H.264 needs an even number')
        if not 0 <= self.gap[0] <= self.gap[1]:
            raise ValueError(f'gap is {self.gap}: use two ascending numbers >= 0')


@dataclass(frozen=True)
class Part:
    """A piece of a timeline.

    Attributes:
        clip: The clip that is shown, or whose background is.
        background_s: Length of a stretch of made background; None shows the clip.
        skip_frames: Frames of the recording to leave out at the start of the clip,
            because the clip before has shown them.
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

    Where ``source_frames`` are known, actions come in the order of the recording, and
    what two clips share is shown once. Clips of background keep their order; where
    they belong between the actions is not known, so they are dealt at random.

    Args:
        clips: All clips.
        settings: Settings of the set.

    Returns:
        The timelines, group by group in alphabetical order.

    Raises:
        ValueError: If there are fewer groups than folds, or a group has no action.
    """
    groups: dict[str, list[Clip]] = {}
    for clip in clips:
        groups.setdefault(clip.group, []).append(clip)
    if len(groups) < settings.folds:
        raise ValueError(
            f'{len(groups)} group(s) cannot be split into {settings.folds} folds: '
            'lower folds, or group the clips by another field'
        )
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
            parts = _arrange(members, actions, ordered, settings, rng)
            name = f'{group}_{number}'
            timelines.append(Timeline(name, group, index % settings.folds, parts))
    return timelines


def _arrange(
    members: Sequence[Clip],
    actions: Sequence[Clip],
    ordered: bool,
    settings: TimelineSettings,
    rng: np.random.Generator,
) -> tuple[Part, ...]:
    if ordered:
        actions = sorted(actions, key=lambda clip: clip.source_start)
    else:
        actions = [actions[i] for i in rng.permutation(len(actions))]
    background = [clip for clip in members if not clip.actions]
    # slot i is the place before action i, the last one is behind all.
    slots = np.sort(rng.integers(0, len(actions) + 1, size=len(background)))
    parts, shown = [], None
    for i in range(len(actions) + 1):
        here = [Part(clip) for clip, slot in zip(background, slots) if slot == i]
        if not background and settings.made_background:
            neighbour = actions[min(i, len(actions) - 1)]
            here = [Part(neighbour, float(rng.uniform(*settings.gap)))]
        parts += here
        if i == len(actions):
            break
        clip, skip = actions[i], 0
        if ordered:
            skip = max((shown or 0) - clip.source_start, 0)
            shown = max(shown or 0, clip.source_end)
        parts.append(Part(clip, skip_frames=skip))
    return tuple(parts)
