"""Tables with a row for each action: plain ones, and those of known data sets."""

from __future__ import annotations

import re
from collections.abc import Sequence

from ...utils.errors import UserError
from ..sources import VIDEO_EXTENSIONS
from .class_names import ClassNames, read_class_names
from .collector import AMBIGUOUS, Collector
from .registry import Converter
from .source_file import Row, SourceFile
from .values import parse_seconds
from .video_facts import VideoFacts, facts_from_table

_ALIASES = {
    'video': ('video', 'videoid', 'videoname', 'filename', 'file'),
    'start': ('start', 'starts', 'starttime', 'tstart', 'startseconds', 'begin'),
    'end': ('end', 'ends', 'endtime', 'tend', 'endseconds', 'stop'),
    'label': ('label', 'class', 'classname', 'action', 'activity', 'category'),
    'subset': ('subset', 'split'),
    'duration': ('duration', 'videoduration'),
    'fps': ('fps', 'framerate'),
}
_NEEDED = ('video', 'start', 'end', 'label')
_AFSD_COLUMNS = (
    *('video', 'type', 'type_idx', 'start', 'end'),
    *('startFrame', 'endFrame'),
)
_GTAD_COLUMNS = ('video-name', 't-init', 't-end', 'label-idx')
_CHARADES_COLUMNS = ('id', 'script', 'actions', 'length')
_CHARADES_CLASSES = 'Charades_v1_classes.txt'
_EPIC_COLUMNS = ('video_id', 'start_timestamp', 'stop_timestamp', 'verb_class')


def _has_columns(source: SourceFile, columns: Sequence[str]) -> bool:
    return source.suffix == '.csv' and set(columns) <= set(source.columns)


def _frames(row: Row, columns: tuple[str, str]) -> list[float | None] | None:
    """Start and end in frames, if both are there."""
    frames = [parse_seconds(row.values.get(column)) for column in columns]
    return None if None in frames else frames


def _info(source: SourceFile, name: str, collector: Collector) -> dict[str, VideoFacts]:
    """Durations and frame rates of a table beside the file."""
    info = source.sibling(name)
    if info is None:
        return {}
    collector.note(f'durations and frame rates are from {info}')
    return facts_from_table(info)


def _column_of(columns: Sequence[str]) -> dict[str, str]:
    """Finds the columns by what they are called, whatever the spelling."""
    plain = {re.sub(r'[^a-z]', '', name.lower()): name for name in columns}
    return {
        key: next(plain[name] for name in names if name in plain)
        for key, names in _ALIASES.items()
        if not plain.keys().isdisjoint(names)
    }


def _is_headless(columns: Sequence[str]) -> bool:
    return len(columns) == 4 and None not in map(parse_seconds, columns[1:3])


def _is_table(source: SourceFile) -> bool:
    if source.suffix not in ('.csv', '.tsv', '.txt'):
        return False
    columns = source.columns
    if 'startFrame' in columns or 't-init' in columns:  # AFSD, G-TAD
        return False
    return _is_headless(columns) or set(_NEEDED) <= set(_column_of(columns))


@Converter(
    'afsd-thumos14',
    'THUMOS14 tables of AFSD, *_Annotation*.csv and *_video_info.csv',
    lambda source: source.suffix == '.csv' and tuple(source.columns) == _AFSD_COLUMNS,
)
def read_afsd_tables(source: SourceFile, collector: Collector) -> None:
    """Reads ``val_Annotation_ours.csv`` with ``val_video_info.csv`` beside it.

    Times are from the columns in seconds. The columns in frames are derived, wrongly
    for some videos; they are only kept for the checker, as "segment(frames)".
    """
    if not set(_AFSD_COLUMNS) <= set(source.columns):
        raise UserError(f'{source}: needs the columns {", ".join(_AFSD_COLUMNS)}')
    facts = _info(source, f'{source.name.split("_")[0]}_video_info.csv', collector)
    for row in source.rows:
        video, frames = row['video'], _frames(row, ('startFrame', 'endFrame'))
        known = facts.get(video)
        if known:
            collector.add_video(video, duration=known.duration, fps=known.fps)
        collector.add_action(
            video, row['start'], row['end'], row['type'], row.where, frames
        )


@Converter(
    'csv',
    'table with the columns video,start,end,label (seconds or h:mm:ss)',
    _is_table,
)
def read_table(source: SourceFile, collector: Collector) -> None:
    """Reads a table ``video,start,end,label`` in seconds, also a sheet of Excel.

    Times may be written 1:02.5. Columns may be in any order under their usual names,
    with subset, duration and fps besides; without a first row of names the order is
    video, start, end, label.
    """
    columns = source.columns
    if _is_headless(columns):
        column_of = dict(zip(_NEEDED, columns, strict=True))
        if len(set(columns)) != len(columns):
            raise UserError(
                f'{source}: give the table a first row video,start,end,label'
            )
        first = Row(f'{source}:1', dict(zip(columns, columns, strict=True)))
        rows = [first, *source.rows]
    else:
        column_of, rows = _column_of(columns), source.rows
    missing = [key for key in _NEEDED if key not in column_of]
    if missing:
        raise UserError(
            f'{source}: no column {", ".join(missing)}; the first row must name video, '
            f'start, end and label, got {", ".join(columns)}'
        )
    for row in rows:
        values = {key: row[name] for key, name in column_of.items()}
        video = values['video']
        if not video:
            collector.drop('no video', row.where)
            continue
        collector.add_video(
            video,
            subset=values.get('subset'),
            duration=values.get('duration'),
            fps=values.get('fps'),
            file=video if video.lower().endswith(VIDEO_EXTENSIONS) else None,
        )
        collector.add_action(
            video, values['start'], values['end'], values['label'], row.where
        )


@Converter(
    'gtad-csv',
    'table of G-TAD/BSN with t-init, t-end and label-idx (needs --classes)',
    lambda source: _has_columns(source, _GTAD_COLUMNS),
)
def read_gtad_table(source: SourceFile, collector: Collector) -> None:
    """Reads the evaluation table of G-TAD and BSN, in which classes are numbers.

    Label -1 is THUMOS14's Ambiguous.
    """
    if collector.options.classes is None:
        raise UserError(
            f'{source}: the classes are numbers; name them with --classes FILE'
        )
    for row in source.rows:
        number = parse_seconds(row['label-idx'])
        label = None if number is None else collector.options.classes.at(int(number))
        collector.add_video(
            row['video-name'],
            duration=row.values.get('video-duration'),
            fps=row.values.get('frame-rate'),
        )
        collector.add_action(
            row['video-name'],
            row['t-init'],
            row['t-end'],
            AMBIGUOUS if number == -1 else label,
            row.where,
            _frames(row, ('f-init', 'f-end')),
        )


def charades_classes(source: SourceFile, collector: Collector) -> ClassNames:
    """Returns the classes a person gave, or those of Charades beside the file.

    Raises:
        UserError: There are neither.
    """
    if collector.options.classes is not None:
        return collector.options.classes
    beside = source.sibling(_CHARADES_CLASSES)
    if beside is None:
        raise UserError(
            f'{source}: the classes are numbers; put {_CHARADES_CLASSES} beside it or '
            'name it with --classes'
        )
    collector.note(f'class names are from {beside}')
    names = read_class_names(beside)
    collector.classes = names.names
    return names


@Converter(
    'charades',
    f'Charades_v1_*.csv with {_CHARADES_CLASSES}',
    lambda source: _has_columns(source, _CHARADES_COLUMNS),
)
def read_charades(source: SourceFile, collector: Collector) -> None:
    """Reads ``Charades_v1_train.csv`` or ``_test.csv``: a video's actions per cell."""
    names = charades_classes(source, collector)
    subset = 'training' if source.stem.endswith('_train') else 'test'
    for row in source.rows:
        video = row['id']
        collector.add_video(video, subset=subset, duration=row['length'])
        for action in filter(None, row['actions'].split(';')):
            values = action.split()
            if len(values) != 3:
                collector.drop('action is not "CLASS START END"', row.where, video)
                continue
            class_id, start, end = values
            collector.add_action(video, start, end, names.by_id(class_id), row.where)


@Converter(
    'epic100',
    'EPIC_100_*.csv with EPIC_100_video_info.csv and the class tables',
    lambda source: _has_columns(source, _EPIC_COLUMNS),
    label_fields=('verb', 'noun', 'action'),
)
def read_epic_kitchens(source: SourceFile, collector: Collector) -> None:
    """Reads ``EPIC_100_train.csv`` or ``EPIC_100_validation.csv``.

    The class is the verb, the noun, or 'VERB NOUN'. Names are those of the class
    tables beside the file, because a class has many spellings in the narrations.
    """
    facts = _info(source, 'EPIC_100_video_info.csv', collector)
    field = collector.options.label_field or 'verb'
    parts = ('verb', 'noun') if field == 'action' else (field,)
    names = {part: _epic_classes(source, part, collector) for part in parts}
    if len(parts) == 1 and names[field]:
        # All of them, so that training and validation files agree.
        collector.classes = list(names[field].values())
    subset = source.stem.rsplit('_', 1)[-1]
    for row in source.rows:
        video = row['video_id']
        known = facts.get(video, VideoFacts())
        collector.add_video(
            video, subset=subset, duration=known.duration, fps=known.fps
        )
        label = ' '.join(names[p].get(row[f'{p}_class'], row[p]) for p in parts)
        collector.add_action(
            video, row['start_timestamp'], row['stop_timestamp'], label, row.where
        )


def _epic_classes(
    source: SourceFile, part: str, collector: Collector
) -> dict[str, str]:
    """Names by class number; without their table, none."""
    table = source.sibling(f'EPIC_100_{part}_classes.csv')
    if table is None:
        collector.note(
            f'no EPIC_100_{part}_classes.csv beside {source}: classes are called as '
            'they were narrated first hand'
        )
        return {}
    classes = read_class_names(table)
    return dict(zip(classes.ids, classes.names, strict=True))
