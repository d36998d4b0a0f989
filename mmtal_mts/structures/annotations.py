"""The native annotation format: reading it and checking each entry.

``{"classes": [...], "database": {"VIDEO_ID": {"subset": ..., "duration": seconds,
"fps": ..., "file": ..., "annotations": [{"segment": [start, end], "label": ...}]}}}``
"""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mmengine.logging import print_log

from ..utils.errors import UserError
from ..utils.io import read_text
from .segments import Segments

_ON_INVALID = ('error', 'clamp', 'drop', 'keep')
_MAX_SHOWN = 10
# Seconds; only absorbs the rounding of floats, not a careless annotation.
_EPSILON_S = 1e-6
# What happens to an annotation of each kind; kinds not named are always errors.
_OUTCOMES = {
    'clamp': {
        'empty': 'dropped',
        'not-positive': 'dropped',
        'outside': 'dropped',
        'before-start': 'clamped',
        'beyond-end': 'clamped',
    },
    'drop': {
        'empty': 'dropped',
        'not-positive': 'dropped',
        'unknown-label': 'dropped',
        'outside': 'dropped',
        'before-start': 'dropped',
        'beyond-end': 'dropped',
    },
    'keep': {
        'empty': 'kept',
        'outside': 'kept',
        'before-start': 'kept',
        'beyond-end': 'kept',
    },
}


class AnnotationError(UserError):
    """An annotation file that cannot be used as it is."""


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


@dataclass
class Annotations:
    """Content of one annotation file.

    Attributes:
        classes: Class names in label order.
        videos: Videos by id, in the order of the file.
        problems: What was clamped, dropped or kept, one line each.
    """

    classes: tuple[str, ...]
    videos: dict[str, VideoAnnotation]
    problems: list[str] = field(default_factory=list)


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


def summarize_problems(problems: Sequence[str]) -> str:
    """Joins problem lines to one text: the first ten and how many more there are.

    Args:
        problems: One line per problem.

    Returns:
        Indented lines.
    """
    lines = [f'  {line}' for line in problems[:_MAX_SHOWN]]
    if len(problems) > _MAX_SHOWN:
        lines.append(f'  ... and {len(problems) - _MAX_SHOWN} more')
    return '\n'.join(lines)


def load_annotations(
    path: str,
    classes: Sequence[str] | None = None,
    subsets: str | Sequence[str] | None = None,
    on_invalid: str = 'error',
) -> Annotations:
    """Reads an annotation file and checks every entry that is asked for.

    =============================  =======  =========  =========  ========
    what is wrong                  'error'  'clamp'    'drop'     'keep'
    =============================  =======  =========  =========  ========
    segment reaches out of video   error    clamped    dropped    kept
    segment outside the video      error    dropped    dropped    kept
    zero length                    error    dropped    dropped    kept
    negative or NaN segment        error    dropped    dropped    error
    label not among the classes    error    error      dropped    error
    malformed entry                error    error      error      error
    =============================  =======  =========  =========  ========

    'keep' is for evaluation: published numbers were computed on such segments.

    Args:
        path: JSON file in the native format, compressed with gzip or not.
        classes: Class names in label order. By default the file's own "classes",
            else its labels in sorted order (of all subsets, so that training and
            testing agree).
        subsets: Subsets to keep. All by default.
        on_invalid: 'error', 'clamp', 'drop' or 'keep', see the table.

    Returns:
        Classes, videos, and a line for everything that was invalid.

    Raises:
        FileNotFoundError: There is no such file.
        AnnotationError: The file cannot be used; the message lists all problems.
    """
    if on_invalid not in _ON_INVALID:
        raise ValueError(f'on_invalid must be one of {_ON_INVALID}, got {on_invalid!r}')
    content, duplicates = read_native(path)
    database = content['database']
    if duplicates:
        names = ', '.join(repr(key) for key in duplicates[:_MAX_SHOWN])
        raise AnnotationError(
            f'{path}: {len(duplicates)} keys stand more than once in the same object: '
            f'{names}. Each video id must be unique; merge the entries.'
        )
    if not database:
        raise AnnotationError(f'{path}: "database" is empty')
    try:
        names = class_names(content, classes)
        selected = select_subsets(database, subsets)
    except AnnotationError as error:
        raise AnnotationError(f'{path}: {error}') from error
    if not names:
        raise AnnotationError(
            f'{path}: holds no label to derive the classes from. Add a "classes" '
            'list to the file or give the classes as an argument.'
        )

    videos, findings = {}, []
    for video_id in selected:
        videos[video_id], found = parse_entry(
            video_id, database[video_id], names, on_invalid
        )
        findings += found
    errors = [finding.message for finding in findings if finding.outcome == 'error']
    if errors:
        raise AnnotationError(
            f'{path}: {len(errors)} invalid entries\n'
            f'{summarize_problems(errors)}\n'
            "Correct the file, or set on_invalid='clamp' (cut segments that reach "
            "out of the video), 'drop' (leave invalid segments out) or, to evaluate "
            "as others did, 'keep'."
        )
    repairs = [f'{finding.message}, {finding.outcome}' for finding in findings]
    if repairs:
        print_log(
            f'{path}: {len(repairs)} invalid annotations '
            f'(on_invalid={on_invalid!r})\n{summarize_problems(repairs)}',
            logger='current',
            level=logging.WARNING,
        )
    return Annotations(names, videos, repairs)


def parse_json(text: str) -> tuple[Any, list[str]]:
    """Parses JSON and finds the keys that stand more than once in one object.

    Args:
        text: Content of a file.

    Returns:
        The content, in which the last of equal keys counts, and those keys.

    Raises:
        ValueError: It is no JSON, or nested too deeply.
    """
    duplicates: list[str] = []

    def collect(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for key, value in pairs:
            if key in result:
                duplicates.append(key)
            result[key] = value
        return result

    try:
        return json.loads(text, object_pairs_hook=collect), duplicates
    except RecursionError as error:
        raise ValueError('nested too deeply') from error


def read_native(path: str) -> tuple[dict[str, Any], list[str]]:
    """Reads a file of the native format and checks its outermost shape.

    Args:
        path: JSON file, compressed with gzip or not.

    Returns:
        The content, and the keys that stand more than once in the same object.

    Raises:
        FileNotFoundError: There is no such file.
        AnnotationError: It cannot be read, or has no "database".
    """
    try:
        data, duplicates = parse_json(read_text(path))
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f'{path}: no such annotation file. Check ann_file and data_root.'
        ) from error
    except OSError as error:
        reason = error.strerror or error
        raise AnnotationError(f'{path}: cannot be read ({reason})') from error
    # UnicodeDecodeError and JSONDecodeError are both ValueErrors.
    except ValueError as error:
        raise AnnotationError(f'{path}: not valid JSON ({error})') from error
    if not isinstance(data, dict) or not isinstance(data.get('database'), dict):
        raise AnnotationError(
            f'{path}: needs an object with the field "database", itself an object '
            'with one entry per video: {"database": {"VIDEO_ID": {"duration": ..., '
            '"annotations": [...]}}}. tools/dataset_converters/convert_annotations.py '
            'makes it from other formats.'
        )
    return data, duplicates


def class_names(
    content: Mapping[str, Any], classes: Sequence[str] | None = None
) -> tuple[str, ...]:
    """Takes the classes from the argument, the file's list, or its labels.

    Args:
        content: Annotation file.
        classes: Class names that win over those of the file.

    Returns:
        Class names in label order; none if there is no list and no label.

    Raises:
        AnnotationError: They are no list of different names.
    """
    origin = 'argument classes'
    if classes is None and content.get('classes') is not None:
        classes, origin = content['classes'], 'field "classes"'
    if classes is None:
        items = (
            item
            for entry in content['database'].values()
            for item in _annotation_list(entry) or ()
        )
        labels = (item.get('label') for item in items if isinstance(item, dict))
        return tuple(sorted({label for label in labels if isinstance(label, str)}))
    if (
        not isinstance(classes, (list, tuple))
        or not classes
        or not all(isinstance(name, str) for name in classes)
    ):
        raise AnnotationError(
            f'{origin} must be a non-empty list of names, got {classes!r}'
        )
    if len(set(classes)) != len(classes):
        repeated = sorted({name for name in classes if classes.count(name) > 1})
        raise AnnotationError(f'{origin} names {repeated} more than once')
    return tuple(classes)


def select_subsets(
    database: Mapping[str, Any], subsets: str | Sequence[str] | None
) -> list[str]:
    """Finds the videos of some subsets.

    Args:
        database: Entries by video id.
        subsets: Names; None for all videos.

    Returns:
        Video ids, in the order of the file.

    Raises:
        AnnotationError: A subset has no video; the message names those there are.
    """
    if subsets is None:
        return list(database)
    wanted = {subsets} if isinstance(subsets, str) else set(subsets)
    present = {video_id: _subset(entry) for video_id, entry in database.items()}
    unknown = sorted(wanted - set(present.values()))
    if unknown or not wanted:
        found = sorted({subset or '(none)' for subset in present.values()})
        raise AnnotationError(f'no video in subset {unknown}; the file has {found}')
    return [video_id for video_id, subset in present.items() if subset in wanted]


def _subset(entry: Any) -> str:
    subset = entry.get('subset') if isinstance(entry, dict) else None
    return subset if isinstance(subset, str) else ''


def _annotation_list(entry: Any) -> list | None:
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
        on_invalid: What to do with invalid annotations, see :func:`load_annotations`.

    Returns:
        What can be used of the entry, and the findings. The actions are those
        annotations, in order, that no finding with outcome 'error' or 'dropped' names.
    """
    if not isinstance(classes, Mapping):
        classes = {name: label for label, name in enumerate(classes)}
    findings: list[Finding] = []

    def malformed(message: str) -> None:
        findings.append(Finding('malformed', video_id, None, f'{video_id}: {message}'))

    items = _annotation_list(entry)
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
        _subset(entry),
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
    outcomes = _OUTCOMES.get(on_invalid, {})
    found = []

    def fault(kind: str, reason: str, weight: float = 0.0, rule: str = '') -> bool:
        """Notes a fault; says whether the annotation cannot be used because of it."""
        outcome = outcomes.get(rule or kind, 'error')
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
