"""Converting files of any known format, and the account of what came of it."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...utils.errors import UserError
from ...version import __version__

# Importing a module of formats registers them.
from . import boris, json_formats, tables, tool_formats  # noqa: F401
from .collector import CONVERTERS, Collector, ConvertOptions
from .source_file import SourceFile
from .values import shorten

_MAX_SHOWN = 8


@dataclass
class Converted:
    """A converted annotation.

    Attributes:
        format: Name of the format.
        files: Files that were read.
        content: Annotation file in the native format.
        dropped: Places of annotations that were not taken, by reason.
        removed_videos: Videos that were left out, and why.
        notes: What else a person should know.
    """

    format: str
    files: list[str]
    content: dict[str, Any]
    dropped: dict[str, list[str]] = field(default_factory=dict)
    removed_videos: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def detect_format(sources: Sequence[SourceFile]) -> str:
    """Finds the format of files.

    Args:
        sources: Files; those of no format, such as class lists, do not count.

    Returns:
        Name of the only format that accepts some of them.

    Raises:
        UserError: There is no such format, or several.
    """
    found: dict[str, list[str]] = {}
    for source in sources:
        for name, converter in CONVERTERS.items():
            if converter.accepts(source):
                found.setdefault(name, []).append(source.name)
    if len(found) == 1:
        return next(iter(found))
    if found:
        listed = '; '.join(
            f'{name}: {", ".join(files[:3])}' for name, files in found.items()
        )
        raise UserError(
            f'files of {len(found)} formats ({listed}). Name the files, or the format '
            'with --format'
        )
    unreadable = []
    for source in sources[:_MAX_SHOWN]:
        try:
            _ = source.text
        except UserError as error:
            unreadable.append(str(error))
    lines = []
    if not sources or len(unreadable) < len(sources[:_MAX_SHOWN]):
        names = ', '.join(source.name for source in sources[:_MAX_SHOWN])
        lines.append(
            f'no known annotation format in {names or "an empty folder"}. Name the '
            f'format with --format: {", ".join(CONVERTERS)}'
        )
    raise UserError('\n'.join(lines + unreadable))


def convert_annotations(
    sources: Sequence[str | os.PathLike],
    format_name: str | None = None,
    options: ConvertOptions | None = None,
) -> Converted:
    """Reads annotations of any known format.

    Args:
        sources: Files, or folders of files.
        format_name: One of :data:`CONVERTERS`; found out by default.
        options: What a person says besides the files.

    Returns:
        The native annotation, and an account of what is not in it.

    Raises:
        UserError: The sources cannot be read.
    """
    collector = Collector(options or ConvertOptions())
    files: list[SourceFile] = []
    folders = {path for path in map(Path, sources) if path.is_dir()}
    for path in map(Path, sources):
        if not path.exists():
            raise UserError(f'{path}: no such file or folder')
        for entry in sorted(path.iterdir()) if path in folders else [path]:
            if entry.is_file():
                files += SourceFile.open(entry)
    if format_name is None:
        format_name = detect_format(files)
    if format_name not in CONVERTERS:
        raise UserError(f'no format {format_name!r}; known are {", ".join(CONVERTERS)}')
    converter = CONVERTERS[format_name]
    converter.check_options(collector.options)
    # A file that was named is read, whatever it looks like; in a folder may be others.
    chosen = [
        source
        for source in files
        if source.path.parent not in folders or converter.accepts(source)
    ]
    ignored = [source.name for source in files if source not in chosen]
    if ignored:
        more = f', and {len(ignored) - _MAX_SHOWN} more' * (len(ignored) > _MAX_SHOWN)
        shown = ', '.join(ignored[:_MAX_SHOWN])
        collector.note(f'not read as annotations: {shown}{more}')
    for source in chosen:
        try:
            converter.read(source, collector)
        # A file of another structure than the format has is bad input.
        except (AttributeError, IndexError, KeyError, TypeError) as error:
            raise UserError(
                f'{source}: is not built as files of format {format_name} are '
                f'({type(error).__name__}: {error})'
            ) from error
    collector.finish()
    if not collector.database:
        reasons = ', '.join(
            f'{len(places)} {reason}' for reason, places in collector.dropped.items()
        )
        raise UserError(
            f'no annotation in {", ".join(map(str, sources))} read as '
            f'{format_name} ({reasons or "the files are empty"})'
        )
    content = {
        'version': f'converted from {format_name} by mmtal_mts {__version__}',
        'classes': _classes(collector),
        'database': collector.database,
    }
    return Converted(
        format_name,
        [str(source) for source in chosen],
        content,
        dict(collector.dropped),
        collector.removed_videos,
        collector.notes,
    )


def _classes(collector: Collector) -> list[str]:
    """Classes in the order of the source, else sorted; all labels are among them."""
    labels = {
        action['label']
        for entry in collector.database.values()
        for action in entry['annotations']
    }
    given = collector.options.classes
    ordered = given.names if given else collector.classes
    if ordered is None:
        return sorted(labels)
    unknown = sorted(labels - set(ordered))
    if unknown:
        collector.note(
            f'{len(unknown)} labels are not in the class list and were added to it: '
            + ', '.join(unknown[:_MAX_SHOWN])
        )
    return [*ordered, *unknown]


def describe_conversion(result: Converted) -> str:
    """Lists what was converted and what was not.

    Args:
        result: From :func:`convert_annotations`.

    Returns:
        Lines for a person.
    """
    database = result.content['database']
    videos: Counter[str] = Counter()
    actions: Counter[str] = Counter()
    for entry in database.values():
        subset = entry.get('subset', '(no subset)')
        videos[subset] += 1
        actions[subset] += len(entry['annotations'])
    num_dropped = sum(map(len, result.dropped.values()))
    lines = [
        f'format    {result.format}, {len(result.files)} files read',
        f'found     {actions.total() + num_dropped:,} annotations',
        f'imported  {actions.total():,} actions of {len(result.content["classes"])} '
        f'classes in {len(database):,} videos',
    ]
    lines += [
        f'          {subset}: {actions[subset]:,} actions in {videos[subset]:,} videos'
        for subset in sorted(videos)
    ]
    lines.append(f'left out  {num_dropped:,} annotations')
    for reason, places in result.dropped.items():
        # A place, such as a tier, may stand there many times.
        shown = shorten(list(dict(Counter(places).most_common())))
        lines.append(f'          {len(places):,} {reason}: {shown}')
    if result.removed_videos:
        lines.append(
            f'          {len(result.removed_videos):,} videos with nothing but such '
            f'annotations: {shorten(list(result.removed_videos))}'
        )
    lines += [f'note      {note}' for note in result.notes]
    return '\n'.join(lines)
