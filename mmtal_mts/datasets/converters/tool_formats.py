"""Files of annotation tools: ELAN, VGG Video Annotator and BORIS."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Mapping
from decimal import Decimal
from itertools import accumulate
from typing import Any

from .convert import Conversion, Converter
from .source_file import (
    SourceFile,
    media_name,
    parse_frame,
    parse_positive,
    parse_seconds,
    video_id,
)

_VIA_SEGMENT_ANCHOR = 'FILE1_Z2_XY0'
_VIA_KEYS = {'project', 'attribute', 'file', 'metadata', 'view'}
_STATE = ('Start (s)', 'Stop (s)')
# Seconds by which lengths that BORIS rounds to milliseconds may miss their sum.
_TOLERANCE_S = 0.01


@Converter(
    'elan',
    lambda source: source.suffix == '.eaf',
    {'select': (), 'label_field': ('value', 'tier', 'tier:value')},
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
    tiers = [(tier.get('TIER_ID', ''), tier) for tier in root.iter('TIER')]
    chosen = result.selected(source, 'tier', dict(tiers))
    slots = {
        slot.get('TIME_SLOT_ID'): parse_frame(slot.get('TIME_VALUE'), 1000, -origin_ms)
        for slot in root.iter('TIME_SLOT')
    }
    field = result.label_field or 'value'
    for name, tier in tiers:
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


def _elan_media(source: SourceFile) -> tuple[str, str | None, float]:
    """Video id, file name, and where the annotation's zero is in the file."""
    media = list(source.xml.iter('MEDIA_DESCRIPTOR'))
    videos = [m for m in media if m.get('MIME_TYPE', '').startswith('video')]
    chosen = (*videos, *media, {})[0]
    # In ELAN the zero of all media is this far into the file.
    origin, name = chosen.get('TIME_ORIGIN'), media_name(chosen.get('MEDIA_URL') or '')
    origin_ms = parse_seconds(origin or 0)
    if origin_ms is None:
        raise source.error(f'TIME_ORIGIN must be milliseconds, got {origin!r}')
    return video_id(name) or source.stem, name if name and videos else None, origin_ms


@Converter('via3', lambda source: _VIA_KEYS <= source.json.keys(), {'select': ()})
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
        listed = ', '.join(names.values()) or '(none is there)'
        problem = f'{len(chosen)} attributes could name the class'
        raise source.error(f'{problem}; choose one with --select: {listed}')
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


def _read_observations(
    source: SourceFile,
    result: Conversion,
    observations: Mapping[str, tuple[list[dict[str, Any]], list[tuple]]],
) -> None:
    """Adds the states that events begin and end, from videos and events by name.

    The videos of an observation were played one after the other; BORIS counts time on
    through all of them. An event is its seconds, the state that it begins or ends
    (None if it has no duration), the behavior, and the place.
    """
    chosen = result.selected(source, 'observation', observations)
    observed = defaultdict(set)
    for name, (media, events) in observations.items():
        lengths = [parse_positive(facts['duration']) for facts in media]
        problem, bounds = None, [Decimal(0), Decimal('inf')]
        if not media:
            problem = 'observation without a video'
        elif len(media) > 1 and None in lengths:
            problem = 'several videos of unknown length (see --durations)'
        else:
            bounds[1:1] = accumulate(Decimal(repr(length)) for length in lengths[:-1])
        begun: dict[Any, tuple[float | None, str]] = {}
        for time, state, label, where in events if name in chosen else ():
            if state is None:
                result.drop('point event, has no duration', where)
                continue
            if state not in begun:
                begun[state] = time, where
                continue
            start, where = begun.pop(state)
            if start is None or time is None:
                result.drop('start or end is not a time', where)
            elif problem:
                result.drop(problem, where)
            else:
                # Decimal: 227.765 - 179.96 is 47.805, not 47.80499999999998.
                segment = [Decimal(repr(start)), Decimal(repr(time))]
                index = max(bisect_right(bounds, segment[0]) - 1, 0)
                if segment[1] > bounds[index + 1]:
                    result.drop('begins and ends in different videos', where)
                    continue
                video = video_id(media[index]['file'])
                observed[video].add(name)
                result.add_video(video, **media[index])
                segment = [float(position - bounds[index]) for position in segment]
                result.add_action(video, segment, label, where)
        for _, where in begun.values():
            result.drop('starts, but does not stop', where)
        for where in dict.fromkeys(where for *_, where in events):
            if name not in chosen:
                result.drop('event of an observation not selected', where)
    for video, names in observed.items():
        if len(names) > 1:
            listed = f'{len(names)} observations ({", ".join(sorted(names))})'
            remedy = 'actions are put together. --select OBSERVATION takes one.'
            result.note(f'{video} is in {listed}; their {remedy}')


@Converter(
    'boris',
    lambda source: {'observations', 'behaviors_conf'} <= source.json.keys(),
    {'select': ()},
)
def _read_boris_project(source: SourceFile, result: Conversion) -> None:
    """BORIS projects; --select OBSERVATION ..."""
    points = {
        behavior['code']
        for behavior in source.json['behaviors_conf'].values()
        if str(behavior.get('type', '')).lower().startswith('point')
    }
    observations = {}
    for name, observation in source.json['observations'].items():
        where, events = f'{source}: {name}', []
        for index, event in enumerate(observation.get('events') or []):
            match event:
                case [time, subject, str(code), *more]:
                    state = (str(subject), code, *map(str, more[:1]))
                    state = None if code in points else state
                    place = f'{where}: events[{index}]'
                    events.append((parse_seconds(time), state, code, place))
                case _:
                    reason = 'event is not [time, subject, behavior]'
                    result.drop(reason, f'{where}: events[{index}]')
        events.sort(key=lambda event: event[0] or 0.0)
        offset = observation.get('time offset')
        if offset and name in (result.select or [name]):
            times = 'times are taken as they are in the file'
            result.note(f'{where}: has a time offset of {offset} s; {times}')
        info, players = observation.get('media_info') or {}, observation.get('file')
        lengths, rates = info.get('length') or {}, info.get('fps') or {}
        paths = players.get('1', []) if isinstance(players, dict) else []
        media = [
            dict(file=media_name(path), duration=lengths.get(path), fps=rates.get(path))
            for path in paths
        ]
        observations[name] = media, events
    _read_observations(source, result, observations)


def _read_boris_export(source: SourceFile, result: Conversion, first_line: int) -> None:
    """Reads rows of states, or of events that begin and end them."""
    rows_of = defaultdict(list)
    for where, row in source.rows(first_line):
        rows_of[row.get('Observation id', '')].append((where, row))
    observations = {}
    for name, rows in rows_of.items():
        events = []
        for where, row in rows:
            behavior = row['Behavior']
            if row.get('Status', row.get('Behavior type', '')).upper() == 'POINT':
                events.append((None, None, behavior, where))
            elif _STATE[0] in row:
                times = (parse_seconds(row[column]) for column in _STATE)
                events += [(time, where, behavior, where) for time in times]
            else:
                state = (row.get('Subject', ''), behavior)
                events.append((parse_seconds(row['Time']), state, behavior, where))
        # The files in the order of their first row; one without events is missing.
        first = rows[0][1]
        column = next((key for key in first if key.startswith('Media file')), None)
        names = dict.fromkeys(media_name(row[column]) for _, row in rows if column)
        total, fps = parse_positive(first.get('Total length')), first.get('FPS')
        given = (result.durations.get(video_id(name), {}) for name in names)
        lengths = [facts.get('duration') for facts in given]
        if len(names) == 1:
            lengths = [lengths[0] or total]
        elif total and None not in lengths and abs(sum(lengths) - total) > _TOLERANCE_S:
            # Where a file is missing, no length tells where the next one begins.
            lengths = [None] * len(names)
        pairs = zip(names, lengths, strict=True)
        media = [dict(file=file, duration=length, fps=fps) for file, length in pairs]
        observations[name] = media, events
    _read_observations(source, result, observations)


@Converter(
    'boris-aggregated',
    lambda source: (
        source.suffix in ('.tsv', '.csv')
        and {'Observation id', 'Behavior', *_STATE} <= set(source.columns)
    ),
    {'select': ()},
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


@Converter(
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
