"""All importers, and running them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmtal_mts.utils.errors import UserError
from mmtal_mts.version import __version__

from .activitynet_json import ActivityNetImporter, MMAction2Importer
from .afsd import AFSDActivityNetImporter, AFSDTablesImporter
from .base import Importer, ImportOptions
from .boris import (
    BORISAggregatedImporter,
    BORISProjectImporter,
    BORISTabularImporter,
)
from .charades import CharadesImporter, CharadesJSONImporter
from .collector import AnnotationCollector
from .elan import ELANImporter
from .epic_kitchens import EpicKitchensImporter
from .frame_lists import KTHImporter, UTInteractionImporter
from .source_file import SourceFile
from .stamps import SecondStampsImporter
from .tables import CSVImporter, GTADTableImporter
from .thumos14 import THUMOS14TextImporter
from .values import media_name, without_extension
from .via3 import VIA3Importer

IMPORTERS: dict[str, Importer] = {
    importer.name: importer
    for importer in (
        THUMOS14TextImporter(),
        AFSDTablesImporter(),
        ActivityNetImporter(),
        MMAction2Importer(),
        AFSDActivityNetImporter(),
        CSVImporter(),
        GTADTableImporter(),
        ELANImporter(),
        VIA3Importer(),
        BORISProjectImporter(),
        BORISAggregatedImporter(),
        BORISTabularImporter(),
        CharadesImporter(),
        CharadesJSONImporter(),
        EpicKitchensImporter(),
        KTHImporter(),
        UTInteractionImporter(),
        SecondStampsImporter(),
    )
}
_MAX_SHOWN = 8


@dataclass
class ImportResult:
    """What came of an import.

    Attributes:
        format (str): Name of the format.
        files (list[str]): Files that were read.
        content (dict[str, Any]): Annotation file in the native format.
        dropped (dict[str, list[str]]): Places of annotations that were not taken, by
            reason.
        removed_videos (dict[str, str]): Videos that were left out, and why.
        notes (list[str]): What else a person should know.
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
        sources (Sequence[SourceFile]): Files; those of no format, such as class
            lists, do not count.

    Returns:
        str: Name of the only format that accepts some of them.

    Raises:
        UserError: If there is no such format, or several.
    """
    found: dict[str, list[str]] = {}
    for source in sources:
        for name, importer in IMPORTERS.items():
            if _accepts(importer, source):
                found.setdefault(name, []).append(source.name)
    if len(found) == 1:
        return next(iter(found))
    names = ', '.join(source.name for source in sources[:_MAX_SHOWN])
    if not found:
        reasons = [source.why_unknown() for source in sources[:_MAX_SHOWN]]
        lines = list(filter(None, reasons))
        if None in reasons or not reasons:
            lines.insert(
                0,
                f'no known annotation format in {names or "an empty folder"}. Name the '
                f'format with --format: {", ".join(IMPORTERS)}',
            )
        raise UserError('\n'.join(lines))
    listed = '; '.join(
        f'{name}: {", ".join(files[:3])}' for name, files in found.items()
    )
    raise UserError(
        f'files of {len(found)} formats ({listed}). Name the files, or the format '
        'with --format'
    )


def import_annotations(
    sources: Sequence[str | os.PathLike],
    format_name: str | None = None,
    options: ImportOptions | None = None,
) -> ImportResult:
    """Reads annotations of any known format.

    Args:
        sources (Sequence[str | os.PathLike]): Files, or folders of files.
        format_name (str, optional): One of :data:`IMPORTERS`; found out by default.
        options (ImportOptions, optional): What a person says besides the files.

    Returns:
        ImportResult: The native annotation, and an account of what is not in it.

    Raises:
        UserError: If the sources cannot be read.
    """
    options = options or ImportOptions()
    files, folders = _expand(sources)
    if format_name is None:
        format_name = detect_format(files)
    if format_name not in IMPORTERS:
        raise UserError(f'no format {format_name!r}; known are {", ".join(IMPORTERS)}')
    importer = IMPORTERS[format_name]
    importer.check_options(options)
    # A file that was named is read, whatever it looks like; in a folder may be others.
    chosen = [
        source
        for source in files
        if source.path.parent not in folders or _accepts(importer, source)
    ]
    collector = AnnotationCollector(options.subset, options.keep_ambiguous)
    ignored = [source.name for source in files if source not in chosen]
    if ignored:
        shown = ', '.join(ignored[:_MAX_SHOWN])
        more = f', and {len(ignored) - _MAX_SHOWN} more' * (len(ignored) > _MAX_SHOWN)
        collector.note(f'not read as annotations: {shown}{more}')
    for source in chosen:
        _read(importer, source, collector, options)
    _apply_durations(collector, options)
    collector.finish()
    if not collector.database:
        reasons = ', '.join(
            f'{len(places)} {reason}' for reason, places in collector.dropped.items()
        )
        raise UserError(
            f'no annotation in {", ".join(str(source) for source in sources)} read as '
            f'{format_name} ({reasons or "the files are empty"})'
        )
    return ImportResult(
        format_name,
        [str(source.path) for source in chosen],
        {
            'version': f'converted from {format_name} by mmtal_mts {__version__}',
            'classes': _classes(collector, options),
            'database': collector.database,
        },
        dict(collector.dropped),
        collector.removed_videos,
        collector.notes,
    )


def _read(
    importer: Importer,
    source: SourceFile,
    collector: AnnotationCollector,
    options: ImportOptions,
) -> None:
    """Reads a file; one of another structure than the format has is bad input."""
    try:
        importer.read(source, collector, options)
    except (AttributeError, IndexError, KeyError, TypeError) as error:
        raise UserError(
            f'{source.path}: is not built as files of format {importer.name} are '
            f'({type(error).__name__}: {error})'
        ) from error


def _accepts(importer: Importer, source: SourceFile) -> bool:
    """Whether a file is of a format; one that cannot even be parsed is not."""
    try:
        return importer.accepts(source)
    except UserError:
        return False


def _expand(
    sources: Sequence[str | os.PathLike],
) -> tuple[list[SourceFile], set[Path]]:
    """Returns all files, and the folders that were named."""
    files, folders = [], set()
    for path in map(Path, sources):
        if path.is_dir():
            folders.add(path)
            files += [
                SourceFile(entry) for entry in sorted(path.iterdir()) if entry.is_file()
            ]
        elif path.is_file():
            files.append(SourceFile(path))
        else:
            raise UserError(f'{path}: no such file or folder')
    return files, folders


def _apply_durations(collector: AnnotationCollector, options: ImportOptions) -> None:
    """Puts in the durations that a person gave; they win."""
    changed = []
    for video_id, entry in collector.database.items():
        # They are found by file name, which is not always the id.
        stem = without_extension(media_name(entry.get('file', video_id)))
        facts = options.durations.get(video_id, options.durations.get(stem))
        if facts is None:
            continue
        for key in ('duration', 'fps'):
            value = getattr(facts, key)
            if value is None:
                continue
            if key in entry and entry[key] != value:
                changed.append(f'{video_id} {key} {entry[key]:g} -> {value:g}')
            entry[key] = value
    if changed:
        collector.note(
            f'{len(changed)} values were replaced by those of --durations: '
            + ', '.join(changed[:3])
            + (', ...' if len(changed) > 3 else '')
        )


def _classes(collector: AnnotationCollector, options: ImportOptions) -> list[str]:
    """Classes in the order of the source, else sorted; all labels are among them."""
    labels = {
        action['label']
        for entry in collector.database.values()
        for action in entry['annotations']
    }
    ordered = collector.classes
    if options.classes is not None:
        ordered = options.classes.names
    if ordered is None:
        return sorted(labels)
    unknown = sorted(labels - set(ordered))
    if unknown:
        shown = ', '.join(unknown[:_MAX_SHOWN])
        collector.note(
            f'{len(unknown)} labels are not in the class list and were added to it: '
            f'{shown}'
        )
    return [*ordered, *unknown]
