"""Checking the entries of an annotation file, one video at a time."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .segments import Segments

ON_INVALID = ('error', 'clamp', 'drop', 'keep')
"""What can be done with invalid annotations, see :func:`.load_annotations`."""

# Seconds; only absorbs the rounding of floats, not a careless annotation.
_EPSILON_S = 1e-6
# What happens to an annotation of each kind, in the order of ON_INVALID. 'empty' is
# 'not-positive' of length zero.
_OUTCOMES = {
    'empty': ('error', 'dropped', 'dropped', 'kept'),
    'not-positive': ('error', 'dropped', 'dropped', 'error'),
    'unknown-label': ('error', 'error', 'dropped', 'error'),
    'outside': ('error', 'dropped', 'dropped', 'kept'),
    'before-start': ('error', 'clamped', 'dropped', 'kept'),
    'beyond-end': ('error', 'clamped', 'dropped', 'kept'),
}


@dataclass
class VideoAnnotation:
    """Actions of one video.

    Attributes:
        video_id: Key of the video in the annotation file.
        subset: Subset of the video, '' if the file names none.
        duration: Length in seconds, None if the file names none.
        fps: Frame rate that the file claims.
        file: File name that the file claims.
        actions: Annotated actions, in seconds.
    """

    video_id: str
    subset: str
    duration: float | None
    fps: float | None
    file: str | None
    actions: Segments


@dataclass(frozen=True)
class Finding:
    """One problem of an annotation file.

    Attributes:
        kind: Sort of problem, such as 'beyond-end'.
        video_id: Video it is in, if it is in one.
        index: Position in the "annotations" of the video.
        message: The place and what is there.
        group: What to count by besides the video, such as a pair of labels.
        weight: How bad it is among its kind.
        outcome: What became of the annotation: 'error', 'clamped', 'dropped', 'kept'.
    """

    kind: str
    video_id: str | None
    index: int | None
    message: str
    group: str = ''
    weight: float = 0.0
    outcome: str = 'error'


def subset_of(entry: Any) -> str:
    """Returns the subset that an entry names, '' if it names none."""
    subset = entry.get('subset') if isinstance(entry, dict) else None
    return subset if isinstance(subset, str) else ''


def annotation_list(entry: Any) -> list | None:
    """Returns "annotations" of an entry, None if that is no list."""
    items = entry.get('annotations') if isinstance(entry, dict) else None
    return items if isinstance(items, list) else None


def parse_entry(
    video_id: str,
    entry: Any,
    classes: Sequence[str] | Mapping[str, int],
    on_invalid: str = 'clamp',
) -> tuple[VideoAnnotation, list[Finding]]:
    """Parses the entry of one video and finds everything that is wrong with it.

    Args:
        video_id: Key of the entry.
        entry: Its value, whatever it is.
        classes: Class names in label order, or labels by name.
        on_invalid: What to do with invalid annotations, see :func:`.load_annotations`.

    Returns:
        What can be used of the entry, and the findings. The actions are those
        annotations, in order, that no finding with outcome 'error' or 'dropped' names.
    """
    if not isinstance(classes, Mapping):
        classes = {name: label for label, name in enumerate(classes)}
    findings: list[Finding] = []

    def malformed(message: str) -> None:
        findings.append(Finding('malformed', video_id, None, f'{video_id}: {message}'))

    items = annotation_list(entry)
    if not isinstance(entry, dict):
        malformed(f'entry must be an object, got {entry!r}')
        entry = {}
    elif items is None:
        malformed(
            '"annotations" must be a list ([] for a video without actions), got '
            f'{entry.get("annotations")!r}'
        )
    for key in ('subset', 'file'):
        value = entry.get(key)
        if value is not None and not (
            isinstance(value, str) and (value or key != 'file')
        ):
            malformed(f'"{key}" must be a name, got {value!r}')
    facts: dict[str, float | None] = {}
    for key in ('duration', 'fps'):
        value = facts[key] = _to_number(entry.get(key))
        if entry.get(key) is not None and not (value and 0 < value < math.inf):
            malformed(f'"{key}" must be a positive number, got {entry[key]!r}')
            facts[key] = None

    segments, labels = [], []
    for index, item in enumerate(items or ()):
        action, found = _parse_action(item, classes, facts['duration'], on_invalid)
        where = f'{video_id}: annotations[{index}]'
        for kind, message, weight, outcome in found:
            findings.append(
                Finding(kind, video_id, index, where + message, '', weight, outcome)
            )
        if action is not None:
            segments.append(action[:2])
            labels.append(action[2])
    file = entry.get('file')
    video = VideoAnnotation(
        video_id,
        subset_of(entry),
        facts['duration'],
        facts['fps'],
        file if isinstance(file, str) else None,
        Segments(segments, labels),
    )
    return video, findings


def _to_number(value: Any) -> float | None:
    """Numbers and numeric strings as float, everything else as None."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        return float(value)
    except (ValueError, OverflowError):
        return None


def _parse_action(
    item: Any, label_of: Mapping[str, int], duration: float | None, on_invalid: str
) -> tuple[tuple[float, float, int] | None, list[tuple[str, str, float, str]]]:
    """Returns (start, end, label), if usable, and kind, message, weight, outcome."""
    segment = item.get('segment') if isinstance(item, dict) else None
    label = item.get('label') if isinstance(item, dict) else None
    if not isinstance(segment, list) or len(segment) != 2:
        message = f': "segment" must be [start, end] in seconds, got {segment!r}'
        return None, [('malformed', message, 0.0, 'error')]
    start, end = map(_to_number, segment)
    if start is None or end is None:
        message = f': "segment" {segment!r} is not two numbers'
        return None, [('malformed', message, 0.0, 'error')]
    if not isinstance(label, str):
        message = f': "label" must be a name, got {label!r}'
        return None, [('malformed', message, 0.0, 'error')]

    limit = math.inf if duration is None else duration
    excess = end - limit
    found = []

    def fault(kind: str, reason: str, weight: float = 0.0, rule: str = '') -> bool:
        """Notes a fault; says whether the annotation cannot be used because of it."""
        outcome = _OUTCOMES[rule or kind][ON_INVALID.index(on_invalid)]
        found.append((kind, f' {segment} {label}: {reason}', weight, outcome))
        return outcome in ('error', 'dropped')

    # Written so that NaN fails too.
    is_positive = math.isfinite(start) and math.isfinite(end) and start < end
    if not is_positive:
        rule = 'empty' if start == end else 'not-positive'
        if fault('not-positive', 'end must be greater than start', rule=rule):
            return None, found
    if label not in label_of:
        fault(
            'unknown-label', f'label {label!r} is not among the {len(label_of)} classes'
        )
        return None, found
    if is_positive and max(start, 0.0) >= min(end, limit):
        reason = f'lies outside the video (duration {limit:g} s)'
        if fault('outside', reason, excess):
            return None, found
    elif is_positive:
        rejected = start < -_EPSILON_S and fault('before-start', 'starts before 0')
        if excess > _EPSILON_S:
            reason = (
                f'ends {excess:.3f} s after the end of the video (duration {limit:g} s)'
            )
            rejected |= fault('beyond-end', reason, excess)
        if rejected:
            return None, found
    if not found or found[0][-1] != 'kept':
        start, end = max(start, 0.0), min(end, limit)
    return (start, end, label_of[label]), found
