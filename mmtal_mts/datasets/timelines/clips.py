"""The clips that timelines are made of."""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass
from pathlib import Path

from mmtal_mts.datasets.sources import VIDEO_EXTENSIONS

_COLUMNS = ('video', 'label')


@dataclass(frozen=True)
class Clip:
    """One short video file.

    Attributes:
        clip_id: Name, unique among all clips.
        path: The file.
        group: Clips of one group (a person, a recording) form timelines together and
            are never split between training and testing.
        actions: Start, end (seconds of the clip) and label of each action; empty for
            a clip of background.
        source_start: First frame of the clip in the recording it was cut from, if
            known; orders the clips of a group.
        source_end: Frame of the recording behind the last one of the clip.
    """

    clip_id: str
    path: str
    group: str
    actions: tuple[tuple[float, float, str], ...]
    source_start: int | None = None
    source_end: int | None = None


def read_clips(
    annotations: str | Path, video_dir: str | Path, group_by: str = 'group'
) -> list[Clip]:
    """Reads a list of clips.

    Args:
        annotations: Native JSON whose entries have the field ``group_by`` and
            optionally ``source_frames: [first, behind the last]``; or CSV with the
            columns ``video``, ``label`` and optionally ``start``, ``end`` (seconds;
            without them the whole clip is the action) and ``group_by``. A row with an
            empty label is a clip of background.
        video_dir: Folder of the files.
        group_by: Name of the field; where it is missing, the clip is a group of its
            own.

    Returns:
        The clips, in the order of the file.

    Raises:
        ValueError: If the file, a field or a video does not fit.
    """
    path, folder = Path(annotations), Path(video_dir)
    entries = _read_csv(path, group_by) if path.suffix == '.csv' else _read_json(path)
    if not entries:
        raise ValueError(f'{path}: no clip in it')
    return [_clip(path, folder, name, entry, group_by) for name, entry in entries]


def _read_json(path: Path) -> list[tuple[str, dict]]:
    try:
        database = json.loads(path.read_text(encoding='utf-8'))['database']
        return list(database.items())
    except (json.JSONDecodeError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f'{path}: expected {{"database": {{CLIP: {{...}}}}}}: {error!r}'
        ) from error


def _read_csv(path: Path, group_by: str) -> list[tuple[str, dict]]:
    with path.open(encoding='utf-8-sig', newline='') as file:
        rows = list(csv.DictReader(file))
    missing = [name for name in _COLUMNS if rows and name not in rows[0]]
    if missing:
        raise ValueError(
            f'{path}: column(s) {missing} are missing; the first line must name '
            'video, label and optionally start, end'
        )
    entries: dict[str, dict] = {}
    for line, row in enumerate(rows, start=2):
        entry = entries.setdefault(row['video'], {'annotations': []})
        if row.get(group_by):
            entry[group_by] = row[group_by]
        if not row['label']:
            continue
        segment = None
        if row.get('start') and row.get('end'):
            try:
                segment = [float(row['start']), float(row['end'])]
            except ValueError as error:
                raise ValueError(f'{path}, line {line}: {error}') from error
        entry['annotations'].append({'label': row['label'], 'segment': segment})
    return list(entries.items())


def _clip(path: Path, folder: Path, name: str, entry: dict, group_by: str) -> Clip:
    where = f'{path}: clip {name}'
    source = entry.get('source_frames')
    if source is not None and not (len(source) == 2 and 0 <= source[0] < source[1]):
        raise ValueError(f'{where}: source_frames={source}: expected [first, last + 1]')
    actions = []
    for item in entry.get('annotations', ()):
        start, end = item['segment'] or (0.0, float('inf'))
        if not 0 <= start < end:
            raise ValueError(f'{where}: segment={item["segment"]} has no length')
        actions.append((float(start), float(end), str(item['label'])))
    start, end = (None, None) if source is None else (int(source[0]), int(source[1]))
    group = str(entry.get(group_by, name))
    found = _find(folder, entry.get('file', name))
    if found is None:
        raise ValueError(f'{where}: no video {folder / name}.* found')
    return Clip(Path(name).stem, str(found), group, tuple(actions), start, end)


def _find(folder: Path, name: str) -> Path | None:
    if (folder / name).is_file():
        return folder / name
    candidates = (folder / f'{name}{suffix}' for suffix in VIDEO_EXTENSIONS)
    return next((path for path in candidates if path.is_file()), None)
