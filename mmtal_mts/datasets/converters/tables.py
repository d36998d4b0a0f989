"""Formats with a line for each action or video: plain tables, and those of data sets.

Each format has a dict from our column names to its own.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ...utils.errors import UserError
from ..sources import VIDEO_EXTENSIONS
from .convert import AMBIGUOUS, Conversion, Converter
from .facts import facts_beside, find_columns, read_class_names
from .source_file import Row, SourceFile, parse_frame, parse_seconds

_NEEDED = ('video', 'start', 'end', 'label')
_ALIASES = {
    'video': ('video', 'videoid', 'videoname', 'filename', 'file'),
    'start': ('start', 'starts', 'starttime', 'tstart', 'startseconds', 'begin'),
    'end': ('end', 'ends', 'endtime', 'tend', 'endseconds', 'stop'),
    'label': ('label', 'class', 'classname', 'action', 'activity', 'category'),
    'subset': ('subset', 'split'),
    'duration': ('duration', 'videoduration'),
    'fps': ('fps', 'framerate'),
}
_AFSD_COLUMNS = ['video', 'type', 'type_idx', 'start', 'end', 'startFrame', 'endFrame']
_AFSD = dict(video='video', start='start', end='end', label='type')
_GTAD = dict(video='video-name', start='t-init', end='t-end', label='label-idx')
_GTAD |= dict(duration='video-duration', fps='frame-rate')
_EPIC = dict(video='video_id', start='start_timestamp', end='stop_timestamp')
_EPIC |= dict(label='verb')
_UT = dict(video='sequence', label='class', start='start_frame', end='end_frame')
_UT_SHEET = ['sequence #', 'Activity Class ID', 'Starting Frame #', 'Ending Frame #']
# In the order of the authors' numbers.
_UT_CLASSES = ('handshake', 'hug', 'kick', 'point', 'punch', 'push')
_CHARADES_CLASSES = 'Charades_v1_classes.txt'
_THUMOS14_FILE = re.compile(r'([A-Za-z]+)_(?:val|test)\.txt')
_THUMOS14_LINE = re.compile(r'(video_\w+)\s+([\d.]+)\s+([\d.]+)')
_KTH_LINE = re.compile(r'(person\d+_([a-z]+)_d\d+)(?:\s+frames\b|[,;\t])\s*(.*)')


def _has_columns(source: SourceFile, columns: Iterable[str]) -> bool:
    return source.suffix == '.csv' and set(columns) <= set(source.columns)


def _rows(source: SourceFile, columns: Mapping[str, str]) -> list[Row]:
    """Reads a table; its columns are renamed to ours, beside their own names."""
    wanted = [columns.get(key, key) for key in _NEEDED]
    missing = [name for name in wanted if name not in source.columns]
    if missing:
        raise source.error(
            f'no column {", ".join(missing)}; the first row must name '
            f'{", ".join(wanted)}, got {", ".join(source.columns)}'
        )
    return [
        (where, {**row, **{key: row.get(name) for key, name in columns.items()}})
        for where, row in source.rows()
    ]


def _add_rows(
    rows: Iterable[Row],
    result: Conversion,
    frames: Sequence[str] = (),
    facts: Mapping[str, Mapping[str, Any]] | None = None,
    **known: Any,
) -> None:
    """Adds an action per row.

    ``frames`` are columns of start and end in frames besides the seconds, which are
    kept for the checker. ``facts`` by video and ``known`` add to the columns.
    """
    for where, row in rows:
        video = row['video']
        if not video:
            result.drop('no video', where)
            continue
        row['file'] = video if video.lower().endswith(VIDEO_EXTENSIONS) else None
        result.add_video(video, **{**known, **(facts or {}).get(video, {}), **row})
        times_f = [parse_seconds(row.get(name)) for name in frames]
        kept = times_f if times_f and None not in times_f else None
        segment = (row['start'], row['end'])
        result.add_action(video, segment, row['label'], where, kept)


@Converter(
    'afsd-thumos14',
    lambda source: source.suffix == '.csv' and source.columns == _AFSD_COLUMNS,
)
def _read_afsd(source: SourceFile, result: Conversion) -> None:
    """THUMOS14 tables of AFSD, *_Annotation*.csv and *_video_info.csv.

    The columns in frames are derived from the seconds, wrongly for some videos.
    """
    facts = facts_beside(source, f'{source.name.split("_")[0]}_video_info.csv', result)
    _add_rows(_rows(source, _AFSD), result, _AFSD_COLUMNS[-2:], facts)


def _is_headless(columns: Sequence[str]) -> bool:
    return len(columns) == 4 and None not in map(parse_seconds, columns[1:3])


def _is_table(source: SourceFile) -> bool:
    columns = source.columns if source.suffix in ('.csv', '.tsv', '.txt') else []
    named = set(_NEEDED) <= set(find_columns(columns, _ALIASES))
    # Those of AFSD and G-TAD have their own formats.
    is_other = 'startFrame' in columns or 't-init' in columns
    return _is_headless(columns) or (named and not is_other)


@Converter('csv', _is_table)
def _read_table(source: SourceFile, result: Conversion) -> None:
    """Table with the columns video,start,end,label (seconds or h:mm:ss)."""
    if _is_headless(source.columns):
        _add_rows(source.rows(names=_NEEDED), result)
    else:
        _add_rows(_rows(source, find_columns(source.columns, _ALIASES)), result)


@Converter(
    'gtad-csv',
    lambda source: _has_columns(source, [_GTAD[key] for key in _NEEDED]),
)
def _read_gtad(source: SourceFile, result: Conversion) -> None:
    """Table of G-TAD/BSN with t-init, t-end and label-idx (needs --classes)."""
    if result.classes is None:
        raise source.error('the classes are numbers; name them with --classes FILE')
    names = {-1: AMBIGUOUS, **dict(enumerate(result.classes.values()))}
    rows = _rows(source, _GTAD)
    for _, row in rows:
        row['label'] = names.get(parse_seconds(row['label']))
    _add_rows(rows, result, ('f-init', 'f-end'))


def _is_ut_sheet(source: SourceFile) -> bool:
    """Whether the names of the columns are in the second line."""
    return source.suffix == '.csv' and source.table(1)[0][1][:4] == _UT_SHEET


@Converter(
    'ut-interaction',
    lambda source: _has_columns(source, _UT.values()) or _is_ut_sheet(source),
    {'fps': ()},
)
def _read_ut_interaction(source: SourceFile, result: Conversion) -> None:
    """UT-Interaction labels, sheets saved as CSV or a table (needs --fps)."""
    if result.fps is None:
        raise source.error('the times are frames; give their rate with --fps')
    if _is_ut_sheet(source):
        # Its classes are numbers.
        names = dict(enumerate(_UT_CLASSES))
        rows = [
            (where, dict(zip(_UT, row, strict=False)))
            for where, row in source.table(1)[1:]
        ]
        for _, row in rows:
            row['label'] = names.get(parse_seconds(row['label']))
    else:
        rows = _rows(source, _UT)
    for _, row in rows:
        # They count from 0.
        row |= {key: parse_frame(row[key], result.fps) for key in ('start', 'end')}
    _add_rows(rows, result, fps=result.fps)


def charades_classes(source: SourceFile, result: Conversion) -> dict[str, str]:
    """Returns the classes a person gave, or else those of Charades beside the file."""
    if result.classes is not None:
        return result.classes
    beside = source.sibling(_CHARADES_CLASSES)
    if beside is None:
        raise source.error(
            f'the classes are numbers; put {_CHARADES_CLASSES} beside it, or name them '
            'with --classes FILE'
        )
    result.note(f'class names are from {beside}')
    result.classes = read_class_names(beside)
    return result.classes


@Converter(
    'charades',
    lambda source: _has_columns(source, ('id', 'script', 'actions', 'length')),
)
def _read_charades(source: SourceFile, result: Conversion) -> None:
    """Charades_v1_*.csv with Charades_v1_classes.txt."""
    classes = charades_classes(source, result)
    subset = 'training' if source.stem.endswith('_train') else 'test'
    for where, row in source.rows():
        video = row['id']
        result.add_video(video, subset=subset, duration=row['length'])
        for action in filter(None, row['actions'].split(';')):
            match action.split():
                case [number, *segment] if len(segment) == 2:
                    result.add_action(video, segment, classes.get(number), where)
                case _:
                    result.drop('action is not "CLASS START END"', where, video)


@Converter(
    'epic100',
    lambda source: _has_columns(source, [*_EPIC.values(), 'verb_class']),
    {'label_field': ('verb', 'noun', 'action')},
)
def _read_epic_kitchens(source: SourceFile, result: Conversion) -> None:
    """EPIC_100_*.csv with EPIC_100_video_info.csv and the class tables.

    The class is the verb, the noun, or 'VERB NOUN'. Names are those of the class
    tables beside the file, because a class has many spellings in the narrations.
    """
    facts = facts_beside(source, 'EPIC_100_video_info.csv', result)
    field = result.label_field or 'verb'
    names: dict[str, dict[str, str]] = {}
    for part in ('verb', 'noun') if field == 'action' else (field,):
        file = f'EPIC_100_{part}_classes.csv'
        table = source.sibling(file)
        names[part] = read_class_names(table) if table else {}
        if table is None:
            result.note(f'no {file} beside {source}: classes are called as narrated')
        elif part == field:
            # All of them, so that training and validation files agree.
            result.classes = result.classes or names[part]

    rows = _rows(source, _EPIC)
    for _, row in rows:
        labels = (of.get(row[f'{p}_class'], row[p]) for p, of in names.items())
        row['label'] = ' '.join(labels)
    _add_rows(rows, result, facts=facts, subset=source.stem.rsplit('_', 1)[-1])


@Converter(
    'thumos14',
    lambda source: (
        _THUMOS14_FILE.fullmatch(source.name)
        and any(_THUMOS14_LINE.fullmatch(line) for _, line in source.lines[:3])
    ),
)
def _read_thumos14(source: SourceFile, result: Conversion) -> None:
    """THUMOS14, official folders of CLASS_val.txt and CLASS_test.txt."""
    match = _THUMOS14_FILE.fullmatch(source.name)
    label = match[1] if match else source.stem
    for where, line in source.lines:
        video, *segment = line.split()
        if len(segment) == 2:
            result.add_action(video, segment, label, where)
        else:
            result.drop('line is not "VIDEO START END"', where)


def _is_kth(source: SourceFile) -> bool:
    if source.suffix == '.csv':
        return source.columns[:3] == ['Filename', 'start_1', 'end_1']
    lines = [line for _, line in source.lines[:30] if 'frames' in line]
    return source.suffix == '.txt' and any(map(_KTH_LINE.fullmatch, lines))


@Converter('kth', _is_kth, {'fps': ()})
def _read_kth(source: SourceFile, result: Conversion) -> None:
    """KTH 00sequences.txt, or the same as a table (FramesOfIntrest.csv).

    Frames count from 1, the last one is included: frame n lasts from ``(n - 1) / fps``
    to ``n / fps``. KTH has 25 frames per second.
    """
    fps, is_table = result.fps or 25.0, source.suffix == '.csv'
    for where, line in source.lines[is_table:]:
        match = _KTH_LINE.fullmatch(line)
        if match is None and is_table:
            raise UserError(f'{where}: {line!r} does not begin with a KTH video')
        # The file of the authors begins with an explanation.
        if match is not None:
            video, label, sequences = match.groups()
            result.add_video(video, fps=fps, file=f'{video}_uncomp.avi')
            frames = re.split(r'\s*[-,;\t]\s*', sequences)
            pairs = [p for p in zip(frames[::2], frames[1::2], strict=False) if any(p)]
            if not pairs:
                result.note(f'{where}: {video} has no sequence')
            for first, last in pairs:
                segment = parse_frame(first, fps, 1), parse_frame(last, fps)
                result.add_action(video, segment, label, where)
