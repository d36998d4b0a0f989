"""Formats of their own: THUMOS14, KTH and UT-Interaction; ELAN and VIA projects."""

from __future__ import annotations

import re
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

from ...structures.timebase import frames_to_seconds
from ...utils.errors import UserError
from .collector import Collector, Converter, check_selection
from .source_file import SourceFile
from .values import media_name, parse_seconds, without_extension

_THUMOS14_FILE = re.compile(r'([A-Za-z]+)_(?:val|test)\.txt')
_THUMOS14_LINE = re.compile(r'(video_\w+)\s+([\d.]+)\s+([\d.]+)')
_KTH_FPS = 25.0
_KTH_NAME = re.compile(r'person\d+_([a-z]+)_d\d+')
_KTH_LINE = re.compile(rf'({_KTH_NAME.pattern})\s+frames\s*(.*)')
_KTH_RANGE = re.compile(r'(\d+)-(\d+)')
_UT_COLUMNS = ('sequence', 'class', 'start_frame', 'end_frame')
_UT_SHEET = ['sequence #', 'Activity Class ID', 'Starting Frame #', 'Ending Frame #']
# In the order of the authors' numbers.
_UT_CLASSES = ('handshake', 'hug', 'kick', 'point', 'punch', 'push')
_VIA_SEGMENT_ANCHOR = 'FILE1_Z2_XY0'
_VIA_KEYS = ('project', 'attribute', 'file', 'metadata', 'view')


def _frame_start_s(frame: str, fps: float, first: int = 0) -> float | None:
    """When a frame begins, if they are counted from ``first``."""
    number = parse_seconds(frame)
    return None if number is None else frames_to_seconds(number - first, fps)


@Converter(
    'thumos14',
    'THUMOS14, official folders of CLASS_val.txt and CLASS_test.txt',
    lambda source: (
        bool(_THUMOS14_FILE.fullmatch(source.name))
        and any(_THUMOS14_LINE.fullmatch(line) for _, line in source.lines[:3])
    ),
)
def read_thumos14(source: SourceFile, collector: Collector) -> None:
    """Reads a file such as ``Diving_val.txt`` with lines ``VIDEO  START END``.

    The class is the file name; the subset is in the video ids. Durations are in
    another file of the data set.
    """
    match = _THUMOS14_FILE.fullmatch(source.name)
    label = match[1] if match else source.stem
    for where, line in source.lines:
        values = line.split()
        if len(values) != 3:
            collector.drop('line is not "VIDEO START END"', where)
            continue
        collector.add_action(*values, label, where)


def _is_kth(source: SourceFile) -> bool:
    if source.suffix == '.csv':
        return source.columns[:3] == ['Filename', 'start_1', 'end_1']
    return source.suffix == '.txt' and any(
        _KTH_LINE.fullmatch(line) for _, line in source.lines[:30]
    )


@Converter(
    'kth',
    'KTH 00sequences.txt, or the same as a table (FramesOfIntrest.csv)',
    _is_kth,
    uses_fps=True,
)
def read_kth(source: SourceFile, collector: Collector) -> None:
    """Reads ``00sequences.txt`` or the same as a table.

    Frames count from 1, the last one is included: frame n lasts from ``(n - 1) / fps``
    to ``n / fps``. KTH has 25 frames per second.
    """
    fps = collector.options.fps or _KTH_FPS
    for where, name, ranges in _kth_rows(source):
        match = _KTH_NAME.fullmatch(name)
        if match is None:
            raise UserError(f'{where}: {name!r} is not the name of a KTH video')
        collector.add_video(name, fps=fps, file=f'{name}_uncomp.avi')
        if not ranges:
            collector.note(f'{where}: {name} has no sequence')
        for first, last in ranges:
            start, end = _frame_start_s(first, fps, 1), _frame_start_s(last, fps)
            collector.add_action(name, start, end, match[1], where)


def _kth_rows(source: SourceFile) -> Iterator[tuple[str, str, list]]:
    """Place, video, and first and last frames of its sequences."""
    if source.suffix == '.csv':
        for where, row in source.rows:
            name, *values = row.values()
            pairs = zip(values[::2], values[1::2], strict=False)
            yield where, name, [pair for pair in pairs if any(pair)]
        return
    # The file of the authors begins with an explanation.
    matches = [(where, _KTH_LINE.fullmatch(line)) for where, line in source.lines]
    if not any(match for _, match in matches):
        raise UserError(f'{source}: no line "VIDEO frames A-B, C-D, ..."')
    for where, match in matches:
        if match is not None:
            yield where, match[1], _KTH_RANGE.findall(match[3])


def _is_ut_sheet(source: SourceFile) -> bool:
    """Whether the names of the columns are in the second line."""
    return source.table(1)[0][:4] == _UT_SHEET


@Converter(
    'ut-interaction',
    'UT-Interaction labels, sheets saved as CSV or a table (needs --fps)',
    lambda source: (
        source.suffix == '.csv'
        and (_is_ut_sheet(source) or set(_UT_COLUMNS) <= set(source.columns))
    ),
    uses_fps=True,
)
def read_ut_interaction(source: SourceFile, collector: Collector) -> None:
    """Reads the labels of UT-Interaction as a table, in frames from 0.

    Either with the columns sequence, class, start_frame and end_frame, or a sheet of
    the authors' ``.xls`` file, in which the classes are numbers.
    """
    fps = collector.options.fps
    if fps is None:
        raise UserError(
            f'{source}: the times are frames; give the frame rate of the videos with '
            '--fps'
        )
    if _is_ut_sheet(source):
        rows = [(where, values[:4]) for where, values in source.table(1)[1]]
        names = {float(number): name for number, name in enumerate(_UT_CLASSES)}
    else:
        rows = [
            (where, [row[key] for key in _UT_COLUMNS]) for where, row in source.rows
        ]
        names = None
    for where, (sequence, label, *bounds) in rows:
        if names is not None:
            label = names.get(parse_seconds(label), '')
        start, end = (_frame_start_s(frame, fps) for frame in bounds)
        collector.add_video(sequence, fps=fps)
        collector.add_action(sequence, start, end, label, where)


@Converter(
    'elan',
    'ELAN .eaf files; --select TIER ..., --label-field value|tier|tier:value',
    lambda source: source.suffix == '.eaf',
    label_fields=('value', 'tier', 'tier:value'),
    uses_select=True,
)
def read_elan(source: SourceFile, collector: Collector) -> None:
    """Reads annotations that have times, of all tiers or the selected ones.

    The class is the value of the annotation, the name of its tier, or both as
    'TIER:VALUE'. Annotations that only refer to another one are counted, not taken,
    and so are those whose time slots have no time.

    The standard library reads the XML, not pympi: that takes only uncompressed files,
    expands entities, and fails on attributes that other programs leave out.
    """
    root = source.xml
    if root.tag != 'ANNOTATION_DOCUMENT':
        raise UserError(f'{source}: not an ELAN document but <{root.tag}>')
    header = root.find('HEADER')
    units = 'milliseconds' if header is None else header.get('TIME_UNITS')
    if units not in (None, 'milliseconds'):
        raise UserError(f'{source}: TIME_UNITS={units!r} is not supported')
    video, file, origin_ms = _elan_media(source, root)
    collector.add_video(video, file=file)
    tiers = [tier.get('TIER_ID', '') for tier in root.iter('TIER')]
    select = collector.options.select
    check_selection(source, 'tier', tiers, select)
    slots = {
        slot.get('TIME_SLOT_ID'): slot.get('TIME_VALUE')
        for slot in root.iter('TIME_SLOT')
    }
    field = collector.options.label_field or 'value'
    for name, tier in zip(tiers, root.iter('TIER'), strict=True):
        for annotation in tier.iter('ANNOTATION'):
            if select and name not in select:
                collector.drop('in a tier that is not selected', f'tier {name}')
                continue
            content = annotation[0] if len(annotation) else annotation
            where = f'{source}: tier {name}: {content.get("ANNOTATION_ID")}'
            if content.tag != 'ALIGNABLE_ANNOTATION':
                collector.drop('refers to another annotation, has no time', where)
                continue
            start, end = (
                _elan_seconds(slots.get(content.get(key)), origin_ms)
                for key in ('TIME_SLOT_REF1', 'TIME_SLOT_REF2')
            )
            if start is None or end is None:
                collector.drop('its time slots have no time', where)
                continue
            value = (content.findtext('ANNOTATION_VALUE') or '').strip()
            if not value and field != 'tier':
                collector.drop('empty value (see --label-field tier)', where)
                continue
            label = {'value': value, 'tier': name}.get(field, f'{name}:{value}')
            collector.add_action(video, start, end, label, where)


def _elan_seconds(milliseconds: str | None, origin_ms: int) -> float | None:
    """A time of the video file; None for a slot that has none."""
    try:
        return float(Fraction(int(milliseconds) + origin_ms, 1000))
    except (TypeError, ValueError, OverflowError):
        return None


def _elan_media(source: SourceFile, root: Any) -> tuple[str, str | None, int]:
    """Video id, file name, and where the annotation's zero is in the file."""
    media = list(root.iter('MEDIA_DESCRIPTOR'))
    videos = [m for m in media if m.get('MIME_TYPE', '').startswith('video')]
    if not media:
        return source.stem, None, 0
    chosen = (videos or media)[0]
    name = media_name(chosen.get('MEDIA_URL') or '')
    try:
        # In ELAN the zero of all media is this far into the file.
        origin_ms = int(chosen.get('TIME_ORIGIN') or 0)
    except ValueError as error:
        raise UserError(
            f'{source}: TIME_ORIGIN must be milliseconds, got '
            f'{chosen.get("TIME_ORIGIN")!r}'
        ) from error
    if not name:
        return source.stem, None, origin_ms
    return without_extension(name), name if videos else None, origin_ms


@Converter(
    'via3',
    'VGG Video Annotator 3 projects; --select ATTRIBUTE if there are several',
    lambda source: set(_VIA_KEYS) <= set(source.json_object),
    uses_select=True,
)
def read_via3(source: SourceFile, collector: Collector) -> None:
    """Reads the temporal segments of a project; the class is an attribute's value."""
    data = source.json
    for key in _VIA_KEYS:
        if not isinstance(data.get(key), dict):
            raise UserError(f'{source}: "{key}" must be an object')
    select = collector.options.select
    names = {
        key: attribute.get('aname', key)
        for key, attribute in data['attribute'].items()
        if attribute.get('anchor_id') == _VIA_SEGMENT_ANCHOR
    }
    chosen = [key for key, name in names.items() if not select or name in select]
    if len(chosen) != 1:
        raise UserError(
            f'{source}: {len(chosen)} attributes could name the class; choose one with '
            f'--select: {", ".join(names.values()) or "(none is there)"}'
        )
    attribute_id = chosen[0]
    attribute = data['attribute'][attribute_id]
    choices = attribute.get('options') or {}
    for key, item in data['metadata'].items():
        where = f'{source}: metadata {key}'
        times = item.get('z') or []
        if item.get('xy'):
            collector.drop('region in the picture, not a segment', where)
            continue
        if len(times) != 2:
            collector.drop(f'{len(times)} times instead of two', where)
            continue
        name = _file_name(data, item.get('vid'))
        if name is None:
            collector.drop('its view has no file', where)
            continue
        video = without_extension(name)
        collector.add_video(video, file=name)
        value = (item.get('av') or {}).get(attribute_id)
        if not isinstance(value, str) or not value:
            reason = f'no value of attribute {attribute.get("aname")!r}'
            collector.drop(reason, where, video)
            continue
        # A check box holds ids of several options.
        labels = [value] if value in choices else value.split(',')
        if not all(label in choices for label in labels):
            labels = [value]
        for label in labels:
            collector.add_action(video, *times, choices.get(label, label), where)


def _file_name(data: dict[str, Any], view_id: Any) -> str | None:
    """The name of the first file of a view."""
    for file_id in data['view'].get(view_id, {}).get('fid_list', []):
        name = data['file'].get(str(file_id), {}).get('fname')
        if name:
            return media_name(name)
    return None
