"""Tables with a row for each action: plain ones, and those of known data sets."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from ...utils.errors import UserError
from ..sources import VIDEO_EXTENSIONS
from .collector import AMBIGUOUS, Collector, Converter
from .facts import ClassNames, VideoFacts, facts_from_table, read_class_names
from .source_file import Row, SourceFile
from .values import parse_seconds

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
# What other data sets call these columns.
_AFSD = dict(video='video', start='start', end='end', label='type')
_AFSD_COLUMNS = ['video', 'type', 'type_idx', 'start', 'end', 'startFrame', 'endFrame']
_GTAD = dict(video='video-name', start='t-init', end='t-end', label='label-idx')
_GTAD_FACTS = dict(duration='video-duration', fps='frame-rate')
_EPIC = dict(video='video_id', start='start_timestamp', end='stop_timestamp')
_CHARADES_COLUMNS = ('id', 'script', 'actions', 'length')
_CHARADES_CLASSES = 'Charades_v1_classes.txt'


def _has_columns(source: SourceFile, columns: Iterable[str]) -> bool:
    return source.suffix == '.csv' and set(columns) <= set(source.columns)


def _add_rows(
    rows: Iterable[Row],
    columns: Mapping[str, str],
    collector: Collector,
    *,
    label: Callable[[Row], Any] | None = None,
    facts: Mapping[str, VideoFacts] | None = None,
    subset: str | None = None,
    frames: Sequence[str] = (),
) -> None:
    """Adds an action per row.

    Columns are named by the keys of _ALIASES; frames are the columns of start and
    end in frames, which are kept for the checker if both are there.
    """
    for where, values in rows:
        given = {key: values.get(name) for key, name in columns.items()}
        video, start, end = (values[columns[key]] for key in _NEEDED[:3])
        if not video:
            collector.drop('no video', where)
            continue
        known = (facts or {}).get(video, VideoFacts())
        collector.add_video(
            video,
            subset=given.get('subset', subset),
            duration=given.get('duration', known.duration),
            fps=given.get('fps', known.fps),
            file=video if video.lower().endswith(VIDEO_EXTENSIONS) else None,
        )
        times_f = [parse_seconds(values.get(name)) for name in frames] or [None]
        collector.add_action(
            video,
            start,
            end,
            given['label'] if label is None else label(Row(where, values)),
            where,
            None if None in times_f else times_f,
        )


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
    lambda source: source.suffix == '.csv' and source.columns == _AFSD_COLUMNS,
)
def read_afsd_tables(source: SourceFile, collector: Collector) -> None:
    """Reads ``val_Annotation_ours.csv`` with ``val_video_info.csv`` beside it.

    Times are from the columns in seconds. The columns in frames are derived, wrongly
    for some videos; they are only kept for the checker, as "segment(frames)".
    """
    if not set(_AFSD_COLUMNS) <= set(source.columns):
        raise UserError(f'{source}: needs the columns {", ".join(_AFSD_COLUMNS)}')
    facts = _info(source, f'{source.name.split("_")[0]}_video_info.csv', collector)
    _add_rows(source.rows, _AFSD, collector, facts=facts, frames=_AFSD_COLUMNS[-2:])


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
    _add_rows(rows, column_of, collector)


@Converter(
    'gtad-csv',
    'table of G-TAD/BSN with t-init, t-end and label-idx (needs --classes)',
    lambda source: _has_columns(source, _GTAD.values()),
)
def read_gtad_table(source: SourceFile, collector: Collector) -> None:
    """Reads the evaluation table of G-TAD and BSN, in which classes are numbers.

    Label -1 is THUMOS14's Ambiguous.
    """
    classes = collector.options.classes
    if classes is None:
        raise UserError(
            f'{source}: the classes are numbers; name them with --classes FILE'
        )

    def label(row: Row) -> str | None:
        number = parse_seconds(row.values['label-idx'])
        if number is None:
            return None
        return AMBIGUOUS if number == -1 else classes.at(int(number))

    columns, frames = {**_GTAD, **_GTAD_FACTS}, ('f-init', 'f-end')
    _add_rows(source.rows, columns, collector, label=label, frames=frames)


def charades_classes(source: SourceFile, collector: Collector) -> ClassNames:
    """Returns the classes a person gave, or else those of Charades beside the file."""
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
    for where, row in source.rows:
        video = row['id']
        collector.add_video(video, subset=subset, duration=row['length'])
        for action in filter(None, row['actions'].split(';')):
            match action.split():
                case [class_id, start, end]:
                    label = names.by_id(class_id)
                    collector.add_action(video, start, end, label, where)
                case _:
                    collector.drop('action is not "CLASS START END"', where, video)


@Converter(
    'epic100',
    'EPIC_100_*.csv with EPIC_100_video_info.csv and the class tables',
    lambda source: _has_columns(source, [*_EPIC.values(), 'verb_class']),
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
    names: dict[str, dict[str, str]] = {part: {} for part in parts}
    for part in parts:
        table = source.sibling(f'EPIC_100_{part}_classes.csv')
        if table is None:
            collector.note(
                f'no EPIC_100_{part}_classes.csv beside {source}: classes are called '
                'as they were narrated first hand'
            )
            continue
        classes = read_class_names(table)
        names[part] = dict(zip(classes.ids, classes.names, strict=True))
        if len(parts) == 1:
            # All of them, so that training and validation files agree.
            collector.classes = list(classes.names)

    def label(row: Row) -> str:
        cells = row.values
        return ' '.join(names[p].get(cells[f'{p}_class'], cells[p]) for p in parts)

    subset = source.stem.rsplit('_', 1)[-1]
    _add_rows(source.rows, _EPIC, collector, label=label, facts=facts, subset=subset)
