"""The account of an import, for a person."""

from __future__ import annotations

from collections import Counter

from .registry import ImportResult

_MAX_PLACES = 3


def describe_import(result: ImportResult) -> str:
    """Tells what was imported and what was not.

    Args:
        result (ImportResult): From :func:`.import_annotations`.

    Returns:
        str: Lines.
    """
    database = result.content['database']
    videos = Counter(entry.get('subset', '(no subset)') for entry in database.values())
    actions: Counter[str] = Counter()
    for entry in database.values():
        subset = entry.get('subset', '(no subset)')
        actions[subset] += len(entry['annotations'])
    num_dropped = sum(map(len, result.dropped.values()))
    total = sum(actions.values())
    lines = [
        f'format    {result.format}, {len(result.files)} files read',
        f'found     {total + num_dropped:,} annotations',
        f'imported  {total:,} actions of {len(result.content["classes"])} classes in '
        f'{len(database):,} videos',
    ]
    lines += [
        f'          {subset}: {actions[subset]:,} actions in {videos[subset]:,} videos'
        for subset in sorted(videos)
    ]
    lines.append(f'left out  {num_dropped:,} annotations')
    for reason, places in result.dropped.items():
        examples = Counter(places).most_common(_MAX_PLACES)
        shown = ', '.join(place for place, _ in examples)
        lines.append(
            f'          {len(places):,} {reason}: {shown}'
            + ', ...' * (len(places) > len(examples))
        )
    if result.removed_videos:
        names = ', '.join(list(result.removed_videos)[:_MAX_PLACES])
        more = ', ...' * (len(result.removed_videos) > _MAX_PLACES)
        lines.append(
            f'          {len(result.removed_videos):,} videos with nothing but such '
            f'annotations: {names}{more}'
        )
    lines += [f'note      {note}' for note in result.notes]
    return '\n'.join(lines)
