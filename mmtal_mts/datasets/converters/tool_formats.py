"""Files of annotation tools: ELAN, VGG Video Annotator and BORIS."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from decimal import Decimal
from fractions import Fraction
from itertools import zip_longest
from typing import Any
from xml.etree.ElementTree import Element

from .convert import Conversion, converter
from .source_file import (
    Row,
    SourceFile,
    media_name,
    parse_positive,
    parse_seconds,
    video_id,
)

_VIA_SEGMENT_ANCHOR = 'FILE1_Z2_XY0'
_VIA_KEYS = {'project', 'attribute', 'file', 'metadata', 'view'}
_POINT = 'point event, has no duration'
_NOT_SELECTED = 'event of an observation not selected'
_STATE = ('Start (s)', 'Stop (s)')
# Seconds by which lengths that BORIS rounds to milliseconds may miss their sum.
_TOLERANCE_S = 0.01


@converter(
    'elan',
    lambda source: source.suffix == '.eaf',
    select=(),
    label_field=('value', 'tier', 'tier:value'),
)
def _read_elan(source: SourceFile, result: Conversion) -> None:
    """ELAN .eaf files; --select TIER ..., --label-field value|tier|tier:value.

    The standard library reads the XML, not pympi: that takes only uncompressed files,
    expands entities, and fails on attributes that other programs leave out.
    """
    root = source.xml
    if root.tag != 'ANNOTATION_DOCUMENT':
        raise source.error(f'not an ELAN document but <{root.tag}>')
    header = root.find('HEADER')
    units = None if header is None else header.get('TIME_UNITS')
    if units not in (None, 'milliseconds'):
        raise source.error(f'TIME_UNITS={units!r} is not supported')
    video, file, origin_ms = _elan_media(source)
    result.add_video(video, file=file)
    tiers = {tier.get('TIER_ID', ''): tier for tier in root.iter('TIER')}
    chosen = result.selected(source, 'tier', tiers)
    slots = {
        slot.get('TIME_SLOT_ID'): _elan_seconds(slot, origin_ms)
        for slot in root.iter('TIME_SLOT')
    }
    field = result.label_field or 'value'
    for name, tier in tiers.items():
        for annotation in tier.iter('ANNOTATION'):
            content = annotation[0] if len(annotation) else annotation
            where = f'{source}: tier {name}: {content.get("ANNOTATION_ID")}'
            ends = (content.get(f'TIME_SLOT_REF{number}') for number in (1, 2))
            segment = [slots.get(end) for end in ends]
            value = (content.findtext('ANNOTATION_VALUE') or '').strip()
            label = {'value': value, 'tier': name}.get(field, f'{name}:{value}')
            if name not in chosen:
                result.drop('in a tier that is not selected', f'tier {name}')
            elif content.tag != 'ALIGNABLE_ANNOTATION':
                result.drop('refers to another annotation, has no time', where)
            elif None in segment:
                result.drop('its time slots have no time', where)
            elif not value and field != 'tier':
                result.drop('empty value (see --label-field tier)', where)
            else:
                result.add_action(video, segment, label, where)


def _elan_seconds(slot: Element, origin_ms: int) -> float | None:
    """A time of the video file; None for a slot that has none."""
    try:
        return float(Fraction(int(slot.get('TIME_VALUE')) + origin_ms, 1000))
    except (TypeError, ValueError, OverflowError):
        return None


def _elan_media(source: SourceFile) -> tuple[str, str | None, int]:
    """Video id, file name, and where the annotation's zero is in the file."""
    media = list(source.xml.iter('MEDIA_DESCRIPTOR'))
    videos = [m for m in media if m.get('MIME_TYPE', '').startswith('video')]
    chosen = (*videos, *media, {})[0]
    name, origin = media_name(chosen.get('MEDIA_URL') or ''), chosen.get('TIME_ORIGIN')
    try:
        # In ELAN the zero of all media is this far into the file.
        origin_ms = int(origin or 0)
    except ValueError as error:
        problem = f'TIME_ORIGIN must be milliseconds, got {origin!r}'
        raise source.error(problem) from error
    return video_id(name) or source.stem, name if name and videos else None, origin_ms


@converter('via3', lambda source: _VIA_KEYS <= source.json.keys(), select=())
def _read_via3(source: SourceFile, result: Conversion) -> None:
    """VGG Video Annotator 3 projects; --select ATTRIBUTE if there are several."""
    data, select = source.json, result.select
    names = {
        key: attribute.get('aname', key)
        for key, attribute in data['attribute'].items()
        if attribute.get('anchor_id') == _VIA_SEGMENT_ANCHOR
    }
    chosen = [key for key, name in names.items() if not select or name in select]
    if len(chosen) != 1:
        raise source.error(
            f'{len(chosen)} attributes could name the class; choose one with '
            f'--select: {", ".join(names.values()) or "(none is there)"}'
        )
    choices = data['attribute'][chosen[0]].get('options') or {}
    for key, item in data['metadata'].items():
        where, segment = f'{source}: metadata {key}', item.get('z') or []
        # The first file of its view.
        ids = data['view'].get(item.get('vid'), {}).get('fid_list', [])
        files = (data['file'].get(str(file), {}).get('fname') for file in ids)
        file = media_name(next(filter(None, files), ''))
        value = (item.get('av') or {}).get(chosen[0])
        if item.get('xy'):
            result.drop('region in the picture, not a segment', where)
        elif len(segment) != 2:
            result.drop(f'{len(segment)} times instead of two', where)
        elif not file:
            result.drop('its view has no file', where)
        else:
            video = video_id(file)
            result.add_video(video, file=file)
            if not isinstance(value, str) or not value:
                result.drop(f'no value of attribute {names[chosen[0]]!r}', where, video)
                continue
            # A check box holds ids of several options.
            labels = value.split(',')
            if value in choices or not set(labels) <= choices.keys():
                labels = [value]
            for label in labels:
                result.add_action(video, segment, choices.get(label, label), where)


def _add_states(
    events: Iterable[tuple[float | None, Any, str, str]],
    media: list[Mapping[str, Any]],
    result: Conversion,
) -> None:
    """Adds what the events of an observation begin and end, in its videos.

    Every second event of a key ends what the one before began.

    Args:
        events: Time in seconds, key, label and place of each.
        media: File, duration and fps of the videos, which were played one after the
            other. BORIS counts time on through all of them.
        result: Gets the actions.
    """
    begun: dict[Any, tuple[float | None, str]] = {}
    for time, key, label, where in events:
        if key not in begun:
            begun[key] = time, where
            continue
        start, where = begun.pop(key)
        if start is None or time is None:
            result.drop('start or end is not a time', where)
        elif not media:
            result.drop('observation without a video', where)
        elif len(media) > 1 and not all(facts['duration'] for facts in media):
            result.drop('several videos of unknown length (see --durations)', where)
        else:
            # Decimal: 227.765 - 179.96 is 47.805, not 47.80499999999998.
            segment = [Decimal(repr(start)), Decimal(repr(time))]
            *others, facts = media
            for other in others:
                length = Decimal(repr(other['duration']))
                if segment[0] < length:
                    facts = other
                    break
                segment = [position - length for position in segment]
            if facts is not media[-1] and segment[1] > length:
                result.drop('begins and ends in different videos', where)
                continue
            result.add_video(video_id(facts['file']), **facts)
            segment = [float(position) for position in segment]
            result.add_action(video_id(facts['file']), segment, label, where)
    for _, where in begun.values():
        result.drop('starts, but does not stop', where)


def _note_overlap(
    observations: Mapping[str, list[Mapping[str, Any]]], result: Conversion
) -> None:
    """Notes which videos were observed more than once."""
    observed = defaultdict(set)
    for name, media in observations.items():
        for facts in media:
            observed[video_id(facts['file'])].add(name)
    for video, names in observed.items():
        if len(names) > 1:
            result.note(
                f'{video} is in {len(names)} observations ({", ".join(sorted(names))});'
                ' their actions are put together. --select OBSERVATION takes one.'
            )


@converter(
    'boris',
    lambda source: {'observations', 'behaviors_conf'} <= source.json.keys(),
    select=(),
)
def _read_boris_project(source: SourceFile, result: Conversion) -> None:
    """BORIS projects; --select OBSERVATION ...

    State events of player 1 are read.
    """
    observations, observed = source.json['observations'], {}
    chosen = result.selected(source, 'observation', observations)
    points = {
        behavior['code']
        for behavior in source.json['behaviors_conf'].values()
        if str(behavior.get('type', '')).lower().startswith('point')
    }
    for name, observation in observations.items():
        states, offset = [], observation.get('time offset')
        for index, event in enumerate(observation.get('events') or []):
            where = f'{source}: {name}: events[{index}]'
            match event:
                case _ if name not in chosen:
                    result.drop(_NOT_SELECTED, f'{source}: {name}')
                case [_, _, str(code), *_] if code in points:
                    result.drop(_POINT, where)
                case [time, subject, str(code), *more]:
                    key = (str(subject), code, *map(str, more[:1]))
                    states.append((parse_seconds(time), key, code, where))
                case _:
                    result.drop('event is not [time, subject, behavior]', where)
        if name in chosen and offset:
            result.note(
                f'{source}: {name}: has a time offset of {offset} s; times are taken '
                'as they stand in the file'
            )
        info, players = observation.get('media_info') or {}, observation.get('file')
        lengths, rates = info.get('length') or {}, info.get('fps') or {}
        media = [
            {
                'file': media_name(path),
                'duration': parse_positive(lengths.get(path)),
                'fps': parse_positive(rates.get(path)),
            }
            for path in (players.get('1', []) if isinstance(players, dict) else [])
        ]
        if states:
            observed[name] = media
            states.sort(key=lambda event: event[0] or 0.0)
            _add_states(states, media, result)
    _note_overlap(observed, result)


def _read_boris_export(source: SourceFile, result: Conversion, first_line: int) -> None:
    """Reads rows of states, or of events that begin and end them."""
    observations: dict[str, list[Row]] = defaultdict(list)
    for row in source.rows(first_line):
        observations[row.values.get('Observation id', '')].append(row)
    chosen = result.selected(source, 'observation', observations)
    observed = {}
    for name, rows in observations.items():
        events = []
        for where, row in rows:
            behavior = row['Behavior']
            if name not in chosen:
                result.drop(_NOT_SELECTED, where)
            elif row.get('Status', row.get('Behavior type', '')).upper() == 'POINT':
                result.drop(_POINT, where)
            elif _STATE[0] in row:
                times = (parse_seconds(row[column]) for column in _STATE)
                events += [(time, where, behavior, where) for time in times]
            else:
                key = (row.get('Subject', ''), behavior)
                events.append((parse_seconds(row['Time']), key, behavior, where))
        observed[name] = _export_media(rows, result)
        _add_states(events, observed[name], result)
    _note_overlap(observed, result)


def _export_media(rows: list[Row], result: Conversion) -> list[Mapping[str, Any]]:
    """The files in the order of their first row; one without events is missing."""
    first = rows[0].values
    column = next((name for name in first if name.startswith('Media file')), None)
    names = dict.fromkeys(media_name(row.values[column]) for row in rows if column)
    total, fps = (parse_positive(first.get(key)) for key in ('Total length', 'FPS'))
    given = (result.durations.get(video_id(name), {}).get('duration') for name in names)
    lengths = [length or (total if len(names) == 1 else None) for length in given]
    if len(names) > 1 and total and None not in lengths:
        # If a file is missing, no length tells where the next one begins.
        lengths *= abs(sum(lengths) - total) < _TOLERANCE_S
    return [
        {'file': name, 'duration': length, 'fps': fps}
        for name, length in zip_longest(names, lengths)
    ]


@converter(
    'boris-aggregated',
    lambda source: (
        source.suffix in ('.tsv', '.csv')
        and {'Observation id', 'Behavior', *_STATE} <= set(source.columns)
    ),
    select=(),
)
def _read_boris_aggregated(source: SourceFile, result: Conversion) -> None:
    """BORIS export of aggregated events; --select OBSERVATION ..."""
    _read_boris_export(source, result, 0)


def _tabular_head(source: SourceFile) -> int:
    """The line with the names of the columns, which is below a head of facts."""
    for number, line in enumerate(source.text.splitlines()):
        if {'Time', 'Behavior', 'Status'} <= set(line.replace(',', '\t').split('\t')):
            return number
    raise source.error('no row with the columns Time, Behavior and Status')


@converter(
    'boris-tabular',
    lambda source: (
        source.suffix in ('.tsv', '.csv')
        and source.text.startswith('Observation id')
        and _tabular_head(source) > 0
    ),
)
def _read_boris_tabular(source: SourceFile, result: Conversion) -> None:
    """BORIS export of tabular events of one observation."""
    _read_boris_export(source, result, _tabular_head(source))
