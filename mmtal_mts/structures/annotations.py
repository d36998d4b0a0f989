"""The native annotation format: reading and checking."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from mmengine.logging import print_log

from mmtal_mts.utils.io import read_text

from .annotation_entries import EntryParser, VideoAnnotation

__all__ = [
    'AnnotationError',
    'Annotations',
    'VideoAnnotation',
    'load_annotations',
    'summarize_problems',
]

_ON_INVALID = ('error', 'clamp', 'drop', 'keep')
_MAX_SHOWN = 10


class AnnotationError(ValueError):
    """An annotation file that cannot be used as it is."""


@dataclass
class Annotations:
    """Content of one annotation file.

    Attributes:
        classes (tuple[str]): Class names in label order.
        videos (dict[str, VideoAnnotation]): Videos by id, in the order of the file.
        problems (list[str]): What was clamped, dropped or kept, one line each.
    """

    classes: tuple[str, ...]
    videos: dict[str, VideoAnnotation]
    problems: list[str] = field(default_factory=list)


def summarize_problems(problems: Sequence[str]) -> str:
    """Joins problem lines to one text: the first ten and how many more there are.

    Args:
        problems (Sequence[str]): One line per problem.

    Returns:
        str: Indented lines.
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
    zero length                    error    dropped    dropped    kept
    negative or NaN segment        error    dropped    dropped    error
    label not among the classes    error    error      dropped    error
    malformed entry                error    error      error      error
    =============================  =======  =========  =========  ========

    'keep' is for evaluation: published numbers were computed on such segments.

    Args:
        path (str): JSON file in the native format, compressed with gzip or not.
        classes (Sequence[str], optional): Class names in label order. By default
            the file's own "classes", else its labels in sorted order (of all
            subsets, so that training and testing agree).
        subsets (str | Sequence[str], optional): Subsets to keep. All by default.
        on_invalid (str): 'error', 'clamp', 'drop' or 'keep', see the table.

    Returns:
        Annotations: Classes, videos, and a line for everything that was
            invalid.

    Raises:
        FileNotFoundError: If there is no such file.
        AnnotationError: If the file cannot be used; the message lists all problems.
    """
    if on_invalid not in _ON_INVALID:
        raise ValueError(f'on_invalid must be one of {_ON_INVALID}, got {on_invalid!r}')
    data = _read_json(path)
    database = data['database']
    names = _resolve_classes(path, data, classes)
    selected = _select(path, database, subsets)

    parser = EntryParser(names, on_invalid)
    videos = {
        video_id: parser.parse(video_id, database[video_id]) for video_id in selected
    }
    if parser.errors:
        raise AnnotationError(
            f'{path}: {len(parser.errors)} invalid entries\n'
            f'{summarize_problems(parser.errors)}\n'
            "Correct the file, or set on_invalid='clamp' (cut segments that reach "
            "out of the video), 'drop' (leave invalid segments out) or, to evaluate "
            "as others did, 'keep'."
        )
    if parser.repairs:
        print_log(
            f'{path}: {len(parser.repairs)} invalid annotations '
            f'(on_invalid={on_invalid!r})\n{summarize_problems(parser.repairs)}',
            logger='current',
            level=logging.WARNING,
        )
    return Annotations(names, videos, parser.repairs)


def _read_json(path: str) -> dict[str, Any]:
    """Reads the file and checks its outermost shape."""
    duplicates = []

    def unique_dict(pairs):
        result = {}
        for key, value in pairs:
            if key in result:
                duplicates.append(key)
            result[key] = value
        return result

    try:
        data = json.loads(read_text(path), object_pairs_hook=unique_dict)
    except FileNotFoundError as err:
        raise FileNotFoundError(
            f'{path}: no such annotation file. Check ann_file and data_root.'
        ) from err
    except OSError as err:
        reason = err.strerror or err
        raise AnnotationError(f'{path}: cannot be read ({reason})') from err
    # UnicodeDecodeError and JSONDecodeError are both ValueErrors.
    except ValueError as err:
        raise AnnotationError(f'{path}: not valid JSON ({err})') from err
    except RecursionError as err:
        raise AnnotationError(f'{path}: nested too deeply') from err

    if not isinstance(data, dict) or not isinstance(data.get('database'), dict):
        raise AnnotationError(
            f'{path}: needs an object with the field "database", itself an object '
            'with one entry per video: {"database": {"VIDEO_ID": {"duration": ..., '
            '"annotations": [...]}}}'
        )
    if duplicates:
        names = ', '.join(repr(key) for key in duplicates[:_MAX_SHOWN])
        raise AnnotationError(
            f'{path}: {len(duplicates)} keys stand more than once in the same object: '
            f'{names}. Each video id must be unique; merge the entries.'
        )
    if not data['database']:
        raise AnnotationError(f'{path}: "database" is empty')
    return data


def _resolve_classes(
    path: str, data: dict[str, Any], classes: Sequence[str] | None
) -> tuple[str, ...]:
    """Takes the classes from the argument, the file's list, or its labels."""
    origin = 'argument classes'
    if classes is None and 'classes' in data:
        classes, origin = data['classes'], 'field "classes"'
    if classes is None:
        labels = set()
        for entry in data['database'].values():
            annotations = entry.get('annotations') if isinstance(entry, dict) else None
            for item in annotations if isinstance(annotations, list) else []:
                label = item.get('label') if isinstance(item, dict) else None
                if isinstance(label, str):
                    labels.add(label)
        if not labels:
            raise AnnotationError(
                f'{path}: holds no label to derive the classes from. Add a "classes" '
                'list to the file or give the classes as an argument.'
            )
        return tuple(sorted(labels))
    if (
        isinstance(classes, str)
        or not isinstance(classes, (list, tuple))
        or not classes
        or not all(isinstance(name, str) for name in classes)
    ):
        raise AnnotationError(
            f'{path}: {origin} must be a non-empty list of names, got {classes!r}'
        )
    if len(set(classes)) != len(classes):
        repeated = sorted({name for name in classes if classes.count(name) > 1})
        raise AnnotationError(f'{path}: {origin} names {repeated} more than once')
    return tuple(classes)


def _select(
    path: str, database: dict[str, Any], subsets: str | Sequence[str] | None
) -> list[str]:
    """Returns the ids of the wanted subsets."""
    if subsets is None:
        return list(database)
    wanted = {subsets} if isinstance(subsets, str) else set(subsets)
    present = {
        video_id: entry.get('subset') or '' if isinstance(entry, dict) else ''
        for video_id, entry in database.items()
    }
    unknown = sorted(wanted - set(present.values()))
    if unknown or not wanted:
        found = sorted({subset or '(none)' for subset in present.values()})
        raise AnnotationError(
            f'{path}: no video in subset {unknown}; the file has {found}'
        )
    return [video_id for video_id, subset in present.items() if subset in wanted]
