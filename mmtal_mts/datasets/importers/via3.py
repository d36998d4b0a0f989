"""VGG Video Annotator, version 3."""

from __future__ import annotations

from typing import Any

from mmtal_mts.utils.errors import UserError

from .base import Importer, ImportOptions
from .collector import AnnotationCollector
from .source_file import SourceFile
from .values import media_name, without_extension

_SEGMENT_ANCHOR = 'FILE1_Z2_XY0'
_KEYS = ('project', 'attribute', 'file', 'metadata', 'view')


class VIA3Importer(Importer):
    """Temporal segments of a VIA project; the class is the value of an attribute."""

    name = 'via3'
    summary = 'VGG Video Annotator 3 projects; --select ATTRIBUTE if there are several'
    uses_select = True

    def accepts(self, source: SourceFile) -> bool:
        """See :meth:`.Importer.accepts`."""
        data = source.json_or_none
        return isinstance(data, dict) and set(_KEYS) <= set(data)

    def read(
        self,
        source: SourceFile,
        collector: AnnotationCollector,
        options: ImportOptions,
    ) -> None:
        """See :meth:`.Importer.read`."""
        data = source.json
        for key in _KEYS:
            if not isinstance(data.get(key), dict):
                raise UserError(f'{source.path}: "{key}" must be an object')
        attribute_id = self._attribute(source, data['attribute'], options)
        attribute = data['attribute'].get(attribute_id, {})
        choices = attribute.get('options') or {}
        for key, item in data['metadata'].items():
            where = f'{source.path}: metadata {key}'
            times = item.get('z') or []
            if item.get('xy'):
                collector.drop('region in the picture, not a segment', where)
                continue
            if len(times) != 2:
                collector.drop(f'{len(times)} times instead of two', where)
                continue
            name = self._file_name(data, item.get('vid'))
            if name is None:
                collector.drop('its view has no file', where)
                continue
            video = without_extension(name)
            collector.add_video(video, file=name)
            value = (item.get('av') or {}).get(attribute_id)
            if not isinstance(value, str) or not value:
                collector.drop(
                    f'no value of attribute {attribute.get("aname")!r}', where, video
                )
                continue
            # A check box holds ids of several options.
            labels = [value] if value in choices else value.split(',')
            if not all(label in choices for label in labels):
                labels = [value]
            for label in labels:
                collector.add_action(video, *times, choices.get(label, label), where)

    @staticmethod
    def _attribute(
        source: SourceFile, attributes: dict[str, Any], options: ImportOptions
    ) -> str:
        """Returns the id of the attribute that names the class."""
        names = {
            key: attribute.get('aname', key)
            for key, attribute in attributes.items()
            if attribute.get('anchor_id') == _SEGMENT_ANCHOR
        }
        chosen = [
            key
            for key, name in names.items()
            if not options.select or name in options.select
        ]
        if len(chosen) != 1:
            raise UserError(
                f'{source.path}: {len(chosen)} attributes could name the class; choose '
                f'one with --select: {", ".join(names.values()) or "(none is there)"}'
            )
        return chosen[0]

    @staticmethod
    def _file_name(data: dict[str, Any], view_id: Any) -> str | None:
        """Returns the name of the first file of a view."""
        for file_id in data['view'].get(view_id, {}).get('fid_list', []):
            name = data['file'].get(str(file_id), {}).get('fname')
            if name:
                return media_name(name)
        return None
