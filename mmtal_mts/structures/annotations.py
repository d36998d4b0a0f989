"""The native annotation format: reading it and checking each entry.

``{"classes": [...], "database": {"VIDEO_ID": {"subset": ..., "duration": seconds,
"fps": ..., "file": ..., "annotations": [{"segment": [start, end], "label": ...}]}}}``
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mmengine.logging import print_log

from ..utils.errors import UserError
from ..utils.io import read_text
from .annotation_entries import (
    ON_INVALID,
    VideoAnnotation,
    annotation_list,
    parse_entry,
    subset_of,
)

_MAX_SHOWN = 10


class AnnotationError(UserError):
    """An annotation file that cannot be used as it is."""


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
    if on_invalid not in ON_INVALID:
        raise ValueError(f'on_invalid must be one of {ON_INVALID}, got {on_invalid!r}')
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
            for item in annotation_list(entry) or ()
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
    present = {video_id: subset_of(entry) for video_id, entry in database.items()}
    unknown = sorted(wanted - set(present.values()))
    if unknown or not wanted:
        found = sorted({subset or '(none)' for subset in present.values()})
        raise AnnotationError(f'no video in subset {unknown}; the file has {found}')
    return [video_id for video_id, subset in present.items() if subset in wanted]
