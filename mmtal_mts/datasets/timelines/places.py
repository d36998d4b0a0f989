"""Where in a recording clips of background belong, told from their crops."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from .clips import Clip
from .render import read_clip

_SIZE_TOLERANCE = 2
"""Pixels; codecs want even sizes, so crops of one box may differ."""


@dataclass(frozen=True)
class _Facts:
    """What a file tells about its clip.

    Attributes:
        size: Height and width in pixels.
        num_frames: Of the clip.
        fps: Of the file.
    """

    size: tuple[int, int]
    num_frames: int
    fps: float


def place_background(
    clips: Sequence[Clip], clip_fps: float | None = None
) -> list[Clip]:
    """Gives clips of background their place in the recording.

    For data sets that cut every action with a box of its own, and the time before it,
    in windows one after the other, with the same box. So a clip of background belongs
    into the gap before an action of the same picture size: the next such gap, in the
    order of the list, that has room left. The windows of a gap are put in its middle:
    which of the frames around them were left out is not known. A gap is from the end
    of one action to the start of the next, without the context that clips have.

    Args:
        clips: All clips; those of a group in the order of the recording, as far as
            they are background.
        clip_fps: Frame rate of all clips; None: what the files say.

    Returns:
        The clips in the same order; background that fits into a gap has
        ``source_start`` and ``source_end``.

    Raises:
        VideoReadError: If a clip cannot be read.
    """
    placed = {}
    for group in dict.fromkeys(clip.group for clip in clips):
        members = [clip for clip in clips if clip.group == group]
        lost = [c for c in members if not c.actions and c.source_start is None]
        actions = [clip for clip in members if clip.actions]
        if lost and all(clip.source_start is not None for clip in actions):
            for clip in _place_group(actions, lost, clip_fps):
                placed[clip.clip_id] = clip
    return [placed.get(clip.clip_id, clip) for clip in clips]


def _place_group(
    actions: Sequence[Clip], lost: Sequence[Clip], clip_fps: float | None
) -> Iterator[Clip]:
    actions = sorted(actions, key=lambda clip: clip.source_start)
    gaps, end = [], 0
    for action in actions:
        facts = _facts(action, clip_fps)
        starts, ends, _ = zip(*action.actions)
        first = action.source_start + round(min(starts) * facts.fps)
        gaps.append((end, first, facts.size))
        length = min(round(max(ends) * facts.fps), facts.num_frames)
        end = max(end, action.source_start + length)
    fitted: list[list[tuple[Clip, int]]] = [[] for _ in gaps]
    current = 0
    for clip in lost:
        facts = _facts(clip, clip_fps)
        for i in range(current, len(gaps)):
            begin, until, size = gaps[i]
            used = sum(count for _, count in fitted[i])
            close = max(abs(a - b) for a, b in zip(size, facts.size))
            if close <= _SIZE_TOLERANCE and begin + used + facts.num_frames <= until:
                fitted[i].append((clip, facts.num_frames))
                current = i
                break
    for (begin, until, _), here in zip(gaps, fitted):
        start = begin + (until - begin - sum(count for _, count in here)) // 2
        for clip, count in here:
            yield replace(clip, source_start=start, source_end=start + count)
            start += count


def _facts(clip: Clip, clip_fps: float | None) -> _Facts:
    frames, times = read_clip(clip)
    return _Facts(frames.shape[1:3], len(frames), clip_fps or times.fps)
