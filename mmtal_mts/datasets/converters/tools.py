"""Projects of annotation tools: ELAN (.eaf) and VGG Video Annotator 3."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Any
from xml.etree.ElementTree import Element

from ...utils.errors import UserError
from .collector import Collector
from .registry import Converter
from .source_file import SourceFile
from .values import media_name, without_extension

_VIA_SEGMENT_ANCHOR = 'FILE1_Z2_XY0'
_VIA_KEYS = ('project', 'attribute', 'file', 'metadata', 'view')


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
    tiers = {tier.get('TIER_ID', ''): tier for tier in root.iter('TIER')}
    unknown = sorted(set(collector.options.select) - set(tiers))
    if unknown:
        raise UserError(
            f'{source}: no tier {", ".join(unknown)} (--select); it has '
            f'{", ".join(tiers)}'
        )
    slots = {
        slot.get('TIME_SLOT_ID'): slot.get('TIME_VALUE')
        for slot in root.iter('TIME_SLOT')
    }
    field = collector.options.label_field or 'value'
    for tier in root.iter('TIER'):
        name = tier.get('TIER_ID', '')
        for annotation in tier.iter('ANNOTATION'):
            if collector.options.select and name not in collector.options.select:
                collector.drop('in a tier that is not selected', f'tier {name}')
                continue
            content = annotation[0] if len(annotation) else annotation
            where = f'{source}: tier {name}: {content.get("ANNOTATION_ID")}'
            if content.tag != 'ALIGNABLE_ANNOTATION':
                collector.drop('refers to another annotation, has no time', where)
                continue
            start, end = (
                _seconds(slots.get(content.get(key)), origin_ms)
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


def _seconds(milliseconds: str | None, origin_ms: int) -> float | None:
    """A time of the video file; None for a slot that has none."""
    try:
        return float(Fraction(int(milliseconds) + origin_ms, 1000))
    except (TypeError, ValueError, OverflowError):
        return None


def _elan_media(source: SourceFile, root: Element) -> tuple[str, str | None, int]:
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
    attribute_id = _attribute(source, data['attribute'], collector.options.select)
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


def _attribute(
    source: SourceFile, attributes: dict[str, Any], select: Sequence[str]
) -> str:
    """The id of the attribute that names the class."""
    names = {
        key: attribute.get('aname', key)
        for key, attribute in attributes.items()
        if attribute.get('anchor_id') == _VIA_SEGMENT_ANCHOR
    }
    chosen = [key for key, name in names.items() if not select or name in select]
    if len(chosen) != 1:
        raise UserError(
            f'{source}: {len(chosen)} attributes could name the class; choose one with '
            f'--select: {", ".join(names.values()) or "(none is there)"}'
        )
    return chosen[0]


def _file_name(data: dict[str, Any], view_id: Any) -> str | None:
    """The name of the first file of a view."""
    for file_id in data['view'].get(view_id, {}).get('fid_list', []):
        name = data['file'].get(str(file_id), {}).get('fname')
        if name:
            return media_name(name)
    return None
