"""Runs all checks on an annotation file."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from typing import Any

from mmtal_mts.datasets.importers import SourceFile
from mmtal_mts.utils.errors import UserError

from .coverage import CoverageChecker
from .findings import Findings
from .report import CheckReport
from .segments import CheckedVideo, EntryChecker
from .settings import CheckSettings
from .sources import check_sources


def load_content(path: str | os.PathLike) -> tuple[dict[str, Any], list[str]]:
    """Reads an annotation file that may be faulty.

    Args:
        path (str | os.PathLike): JSON file.

    Returns:
        tuple[dict[str, Any], list[str]]: The content, and keys that stand more than
        once in the same object.

    Raises:
        UserError: If it is no JSON object with a "database".
    """
    source = SourceFile(path)
    content = source.json
    if not isinstance(content, dict) or not isinstance(content.get('database'), dict):
        raise UserError(
            f'{path}: not in the native format, which has a "database" with an entry '
            'per video. tools/dataset_converters/convert_annotations.py makes it from '
            'other formats.'
        )
    return content, source.duplicate_keys


def check_annotations(
    content: dict[str, Any],
    settings: CheckSettings,
    duplicate_keys: Sequence[str] = (),
) -> CheckReport:
    """Checks an annotation file.

    Args:
        content (dict[str, Any]): The file, in the native format.
        settings (CheckSettings): What to check against.
        duplicate_keys (Sequence[str]): From :func:`load_content`.

    Returns:
        CheckReport: Problems and statistics.

    Raises:
        UserError: If a subset is not there, or "classes" is no list of names.
    """
    findings = Findings()
    for key in duplicate_keys:
        findings.add('duplicate-key', None, None, repr(key))
    database = _select(content['database'], settings.subsets)
    classes = _classes(content, settings.classes)
    checker = EntryChecker(classes, settings.windows, findings)
    videos = [checker.check(video_id, entry) for video_id, entry in database.items()]
    per_class = _count_classes(videos, classes, findings)
    coverage = CoverageChecker(settings.windows, findings).check(videos)
    check_sources(videos, settings.video_dirs, settings.windows, findings)
    return CheckReport(findings, videos, classes, per_class, coverage, settings)


def _select(database: dict[str, Any], subsets: Sequence[str]) -> dict[str, Any]:
    """Returns the entries of the wanted subsets."""
    if not subsets:
        return database
    subset_of = {
        video_id: str(entry.get('subset') or '') if isinstance(entry, dict) else ''
        for video_id, entry in database.items()
    }
    unknown = sorted(set(subsets) - set(subset_of.values()))
    if unknown:
        found = ', '.join(sorted(name or '(none)' for name in set(subset_of.values())))
        raise UserError(f'no video in subset {", ".join(unknown)}; there are {found}')
    return {name: database[name] for name, s in subset_of.items() if s in subsets}


def _classes(content: dict[str, Any], given: Sequence[str] | None) -> tuple[str, ...]:
    """The classes a person gave, those of the file, or all labels."""
    classes = given if given is not None else content.get('classes')
    if classes is None:
        return tuple(sorted(_labels(content['database'])))
    if not isinstance(classes, (list, tuple)) or not all(
        isinstance(name, str) for name in classes
    ):
        raise UserError(f'"classes" must be a list of names, got {classes!r}')
    if len(set(classes)) != len(classes):
        raise UserError('"classes" names a class more than once')
    return tuple(classes)


def _labels(database: dict[str, Any]) -> set[str]:
    labels = set()
    for entry in database.values():
        items = entry.get('annotations') if isinstance(entry, dict) else None
        for item in items if isinstance(items, list) else ():
            label = item.get('label') if isinstance(item, dict) else None
            if isinstance(label, str):
                labels.add(label)
    return labels


def _count_classes(
    videos: Sequence[CheckedVideo], classes: Sequence[str], findings: Findings
) -> dict[str, Counter[str]]:
    """Counts the actions of each class by subset; reports classes without any."""
    counts: dict[str, Counter[str]] = {}
    for video in videos:
        counts.setdefault(video.subset, Counter()).update(video.labels)
    for subset, found in counts.items():
        # A subset that is not annotated at all, such as ActivityNet's test videos.
        if not found:
            continue
        for name in classes:
            if not found[name]:
                where = f'{name} in {subset or "(no subset)"}'
                findings.add('class-missing', None, None, where, subset)
    return counts
