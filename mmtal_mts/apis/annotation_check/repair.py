"""Corrects what the checker found, and says what it did."""

from __future__ import annotations

import copy
from typing import Any

from mmtal_mts.datasets.importers.values import parse_seconds

from .findings import Findings

_CLAMPED = ('before-start', 'beyond-end')
_DROPPED = ('outside', 'not-positive', 'duplicate')
MODES = ('clamp', 'drop')


def repair_annotations(
    content: dict[str, Any], findings: Findings, mode: str
) -> tuple[dict[str, Any], list[str]]:
    """Makes a corrected copy of an annotation file.

    =============================  ========  ========
    finding                        'clamp'   'drop'
    =============================  ========  ========
    before-start, beyond-end       cut       removed
    outside, not-positive          removed   removed
    duplicate, also after cutting  removed   removed
    unknown-label                  stays     removed
    everything else                stays     stays
    =============================  ========  ========

    Args:
        content (dict[str, Any]): The file.
        findings (Findings): Of this file.
        mode (str): 'clamp' or 'drop'.

    Returns:
        tuple[dict[str, Any], list[str]]: The copy, and a line for each change.

    Raises:
        ValueError: If there is no such mode.
    """
    if mode not in MODES:
        raise ValueError(f'mode must be one of {MODES}, got {mode!r}')
    removed_kinds = _DROPPED
    if mode == 'drop':
        removed_kinds = (*_DROPPED, *_CLAMPED, 'unknown-label')
    content = copy.deepcopy(content)
    changes: list[str] = []
    removed: dict[str, set[int]] = {}
    for finding in findings:
        if finding.index is None:
            continue
        if finding.kind in removed_kinds:
            removed.setdefault(finding.video_id, set()).add(finding.index)
            changes.append(f'removed ({finding.kind}): {finding.message}')
    if mode == 'clamp':
        changes += _cut(content['database'], findings, removed)
    for video_id, indices in removed.items():
        entry = content['database'][video_id]
        entry['annotations'] = [
            item
            for index, item in enumerate(entry['annotations'])
            if index not in indices
        ]
    return content, changes


def _cut(
    database: dict[str, Any], findings: Findings, removed: dict[str, set[int]]
) -> list[str]:
    """Cuts segments to their videos in place; what becomes alike is to be removed."""
    changes = []
    for finding in findings:
        if finding.kind not in _CLAMPED:
            continue
        gone = removed.setdefault(finding.video_id, set())
        if finding.index in gone:
            continue
        entry = database[finding.video_id]
        item = entry['annotations'][finding.index]
        start, end = (float(value) for value in item['segment'])
        duration = entry.get('duration')
        limit = end if duration is None else float(duration)
        item['segment'] = [max(start, 0.0), min(end, limit)]
        changes.append(f'cut ({finding.kind}): {finding.message}')
        same = [
            index
            for index, other in enumerate(entry['annotations'])
            if index not in gone and _key(other) == _key(item)
        ]
        if len(same) > 1:
            gone.add(finding.index)
            changes.append(f'removed (duplicate once it is cut): {finding.message}')
    return changes


def _key(item: Any) -> Any:
    """What two annotations have in common if they are the same."""
    if not isinstance(item, dict) or not isinstance(item.get('segment'), list):
        return id(item)
    return [str(item.get('label')), *map(parse_seconds, item['segment'])]
