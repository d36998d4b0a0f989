"""The native annotation format: reading it and checking each entry.

``{"classes": [...], "database": {"VIDEO_ID": {"subset": ..., "duration": seconds,
"fps": ..., "file": ..., "annotations": [{"segment": [start, end], "label": ...}]}}}``
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from mmengine.logging import print_log

from ..utils.errors import UserError
from ..utils.io import parse_json, read_text
from .segments import Segments

ON_INVALID = ('error', 'clamp', 'drop', 'keep')
_MAX_SHOWN = 10
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
    """

    classes: tuple[str, ...]
    videos: dict[str, VideoAnnotation]


@dataclass(frozen=True)
class Finding:
    """One problem of an annotation file.

    Attributes:
        kind: Kind of problem, such as 'beyond-end'.
        message: The place and what is wrong there.
        video_id: Video with the problem, if it is in one.
        index: Position in the "annotations" of the video.
        group: What to count by besides the video, such as a pair of labels.
        weight: How severe it is among its kind.
        outcome: What happens to the annotation: 'error', 'clamped', 'dropped', 'kept'.
    """

    kind: str
    message: str
    video_id: str | None = None
    index: int | None = None
    group: str = ''
    weight: float = 0.0
    outcome: str = 'error'


def summarize_problems(problems: Sequence[str]) -> str:
    """Joins problem lines to one text: the first ten and how many more there are."""
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
        Classes and videos. What was invalid is logged.

    Raises:
        FileNotFoundError: There is no such file.
        AnnotationError: The file cannot be used; the message lists all problems.
    """
    if on_invalid not in ON_INVALID:
        raise ValueError(f'on_invalid must be one of {ON_INVALID}, got {on_invalid!r}')
    content, duplicates = read_native(path)
    database = content['database']
    try:
        if duplicates:
            raise AnnotationError(
                f'{len(duplicates)} keys stand more than once in the same object: '
                f'{", ".join(map(repr, duplicates[:_MAX_SHOWN]))}. Each video id must '
                'be unique; merge the entries.'
            )
        if not database:
            raise AnnotationError('"database" is empty')
        names = class_names(content, classes)
        selected = select_subsets(database, subsets)
        if not names:
            raise AnnotationError(
                'holds no label to derive the classes from. Add a "classes" list to '
                'the file or give the classes as an argument.'
            )
    except AnnotationError as error:
        raise AnnotationError(f'{path}: {error}') from error

    label_of = {name: label for label, name in enumerate(names)}
    videos, findings = {}, []
    for name in selected:
        videos[name], _, found = parse_entry(name, database[name], label_of, on_invalid)
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
    return Annotations(names, videos)


def read_native(path: str) -> tuple[dict[str, Any], list[str]]:
    """Reads a file whose outermost shape is that of the native format.

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
    """Returns the classes of the argument, the file's list, or else its labels."""
    origin = 'argument classes'
    if classes is None and content.get('classes') is not None:
        classes, origin = content['classes'], 'field "classes"'
    if classes is None:
        lists = map(annotation_list, content['database'].values())
        items = (item for items in lists for item in items or ())
        labels = (item.get('label') for item in items if isinstance(item, dict))
        return tuple(sorted({label for label in labels if isinstance(label, str)}))
    is_list = isinstance(classes, (list, tuple)) and len(classes) > 0
    if not is_list or not all(isinstance(name, str) for name in classes):
        raise AnnotationError(
            f'{origin} must be a non-empty list of names, got {classes!r}'
        )
    repeated = sorted({name for name in classes if classes.count(name) > 1})
    if repeated:
        raise AnnotationError(f'{origin} names {repeated} more than once')
    return tuple(classes)


def select_subsets(
    database: Mapping[str, Any], subsets: str | Sequence[str] | None
) -> list[str]:
    """Returns the ids of the videos of some subsets, each of which needs one."""
    if subsets is None:
        return list(database)
    wanted = {subsets} if isinstance(subsets, str) else set(subsets)
    present = {}
    for video_id, entry in database.items():
        subset = entry.get('subset') if isinstance(entry, dict) else None
        present[video_id] = subset if isinstance(subset, str) else ''
    unknown = sorted(wanted - set(present.values()))
    if unknown or not wanted:
        found = sorted({subset or '(none)' for subset in present.values()})
        raise AnnotationError(f'no video in subset {unknown}; the file has {found}')
    return [video_id for video_id, subset in present.items() if subset in wanted]


def annotation_list(entry: Any) -> list | None:
    """Returns "annotations" of an entry, None if that is no list."""
    items = entry.get('annotations') if isinstance(entry, dict) else None
    return items if isinstance(items, list) else None


def parse_entry(
    video_id: str,
    entry: Any,
    label_of: Mapping[str, int],
    on_invalid: str = 'clamp',
) -> tuple[VideoAnnotation, dict[int, Any], list[Finding]]:
    """Parses the entry of one video and finds everything that is wrong with it.

    Args:
        video_id: Key of the entry.
        entry: Its value, whatever it is.
        label_of: Labels by class name.
        on_invalid: What to do with invalid annotations, see :func:`load_annotations`.

    Returns:
        The usable part of the entry, the annotations of its actions by position, and
        the findings.
    """
    findings: list[Finding] = []

    def add(text, kind='malformed', weight=0.0, outcome='error', index=None):
        place = f'{video_id}: ' + f'annotations[{index}]' * (index is not None)
        finding = Finding(kind, place + text, video_id, index, '', weight, outcome)
        findings.append(finding)

    items = annotation_list(entry)
    if not isinstance(entry, dict):
        add(f'entry must be an object, got {entry!r}')
        entry = {}
    elif items is None:
        add(
            '"annotations" must be a list ([] for a video without actions), got '
            f'{entry.get("annotations")!r}'
        )
    subset, file = entry.get('subset'), entry.get('file')
    facts: dict[str, Any] = {
        'subset': subset if isinstance(subset, str) else None,
        'file': file if isinstance(file, str) and file else None,
    }
    for key in ('duration', 'fps'):
        number = _to_number(entry.get(key)) or 0.0
        facts[key] = number if 0 < number < math.inf else None
    for key, value in facts.items():
        if value is None and entry.get(key) is not None:
            what = 'name' if key in ('subset', 'file') else 'positive number'
            add(f'"{key}" must be a {what}, got {entry[key]!r}')
    usable, times, limit = {}, [], facts['duration'] or math.inf
    for index, item in enumerate(items or ()):
        found = partial(add, index=index)
        segment = _parse_action(item, label_of, limit, on_invalid, found)
        if segment is not None:
            usable[index] = item
            times.append(segment)
    actions = Segments(times, [label_of[item['label']] for item in usable.values()])
    facts['subset'] = facts['subset'] or ''
    return VideoAnnotation(video_id, **facts, actions=actions), usable, findings


def _to_number(value: Any) -> float | None:
    """Numbers and numeric strings as float, everything else as None."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        return float(value)
    except (ValueError, OverflowError):
        return None


def _parse_action(
    item: Any,
    label_of: Mapping[str, int],
    limit: float,
    on_invalid: str,
    add: Callable[..., None],
) -> tuple[float, float] | None:
    """Adds what is wrong, and returns start and end if they can be used."""
    item = item if isinstance(item, dict) else {}
    segment, label = item.get('segment'), item.get('label')
    times = [_to_number(time) for time in segment] if isinstance(segment, list) else []
    fault = None
    if len(times) != 2:
        fault = f'"segment" must be [start, end] in seconds, got {segment!r}'
    elif None in times:
        fault = f'"segment" {segment!r} is not two numbers'
    elif not isinstance(label, str):
        fault = f'"label" must be a name, got {label!r}'
    if fault is not None:
        return add(f': {fault}')

    start, end = times
    video, excess, outcomes = f'the video (duration {limit:g} s)', end - limit, []

    def judge(kind: str, reason: str, weight: float = 0.0, rule: str = '') -> None:
        outcomes.append(_OUTCOMES[rule or kind][ON_INVALID.index(on_invalid)])
        add(f' {segment} {label}: {reason}', kind, weight, outcomes[-1])

    # Written so that NaN fails too.
    is_positive = math.isfinite(start) and math.isfinite(end) and start < end
    if not is_positive:
        rule = 'empty' if start == end else 'not-positive'
        judge('not-positive', 'end must be greater than start', rule=rule)
    if label not in label_of and outcomes in ([], ['kept']):
        reason = f'label {label!r} is not among the {len(label_of)} classes'
        judge('unknown-label', reason)
    elif is_positive and max(start, 0.0) >= min(end, limit):
        judge('outside', f'lies outside {video}', excess)
    elif is_positive:
        if start < -_EPSILON_S:
            judge('before-start', 'starts before 0')
        if excess > _EPSILON_S:
            reason = f'ends {excess:.3f} s after the end of {video}'
            judge('beyond-end', reason, excess)
    if 'error' in outcomes or 'dropped' in outcomes:
        return None
    if 'kept' not in outcomes:
        start, end = max(start, 0.0), min(end, limit)
    return start, end
