"""ELAN (.eaf), the annotation tool of the Max Planck Institute."""

from __future__ import annotations

from fractions import Fraction
from xml.etree.ElementTree import Element

from mmtal_mts.utils.errors import UserError

from .base import Importer, ImportOptions
from .collector import AnnotationCollector
from .source_file import SourceFile
from .values import media_name, without_extension


class ELANImporter(Importer):
    """Annotations that have times of their own, of all tiers or the selected ones.

    The class is the value of the annotation, the name of its tier, or both as
    'TIER:VALUE'. Annotations that only refer to another one are counted, not taken,
    and so are those whose time slots have no time.
    """

    name = 'elan'
    summary = 'ELAN .eaf files; --select TIER ..., --label-field value|tier|tier:value'
    label_fields = ('value', 'tier', 'tier:value')
    uses_select = True

    def accepts(self, source: SourceFile) -> bool:
        """See :meth:`.Importer.accepts`."""
        return source.suffix == '.eaf'

    def read(
        self,
        source: SourceFile,
        collector: AnnotationCollector,
        options: ImportOptions,
    ) -> None:
        """See :meth:`.Importer.read`."""
        root = source.xml
        if root.tag != 'ANNOTATION_DOCUMENT':
            raise UserError(f'{source.path}: not an ELAN document but <{root.tag}>')
        header = root.find('HEADER')
        units = 'milliseconds' if header is None else header.get('TIME_UNITS')
        if units not in (None, 'milliseconds'):
            raise UserError(f'{source.path}: TIME_UNITS={units!r} is not supported')
        video, file, origin_ms = self._media(source, root)
        times = {
            slot.get('TIME_SLOT_ID'): slot.get('TIME_VALUE')
            for slot in root.iter('TIME_SLOT')
        }
        tiers = list(root.iter('TIER'))
        self._check_selection(source, tiers, options)
        collector.add_video(video, file=file)
        field = self.label_field(options)
        for tier in tiers:
            name = tier.get('TIER_ID', '')
            selected = not options.select or name in options.select
            for annotation in tier.iter('ANNOTATION'):
                if not selected:
                    collector.drop('in a tier that is not selected', f'tier {name}')
                    continue
                self._read_annotation(
                    annotation, name, field, times, origin_ms, video, collector, source
                )

    @staticmethod
    def _read_annotation(
        annotation: Element,
        tier: str,
        field: str,
        times: dict[str | None, str | None],
        origin_ms: int,
        video: str,
        collector: AnnotationCollector,
        source: SourceFile,
    ) -> None:
        content = annotation[0] if len(annotation) else annotation
        where = f'{source.path}: tier {tier}: {content.get("ANNOTATION_ID")}'
        if content.tag != 'ALIGNABLE_ANNOTATION':
            collector.drop('refers to another annotation, has no time', where)
            return
        slots = [
            times.get(content.get(key)) for key in ('TIME_SLOT_REF1', 'TIME_SLOT_REF2')
        ]
        try:
            start, end = (
                None if ms is None else float(Fraction(int(ms) + origin_ms, 1000))
                for ms in slots
            )
        except ValueError:
            start = end = None
        if start is None or end is None:
            collector.drop('its time slots have no time', where)
            return
        value = (content.findtext('ANNOTATION_VALUE') or '').strip()
        label = {'value': value, 'tier': tier}.get(field, f'{tier}:{value}')
        if not value and field != 'tier':
            collector.drop('empty value (see --label-field tier)', where)
            return
        collector.add_action(video, start, end, label, where)

    @staticmethod
    def _media(source: SourceFile, root: Element) -> tuple[str, str | None, int]:
        """Returns video id, file name, and where the annotation's zero is in it."""
        media = list(root.iter('MEDIA_DESCRIPTOR'))
        videos = [m for m in media if m.get('MIME_TYPE', '').startswith('video')]
        chosen = (videos or media or [None])[0]
        if chosen is None:
            return source.stem, None, 0
        name = media_name(chosen.get('MEDIA_URL') or '')
        # In ELAN the zero of all media is this far into the file.
        origin = int(chosen.get('TIME_ORIGIN') or 0)
        if not name:
            return source.stem, None, origin
        return without_extension(name), name if videos else None, origin

    @staticmethod
    def _check_selection(
        source: SourceFile, tiers: list[Element], options: ImportOptions
    ) -> None:
        names = [tier.get('TIER_ID', '') for tier in tiers]
        unknown = sorted(set(options.select) - set(names))
        if unknown:
            raise UserError(
                f'{source.path}: no tier {", ".join(unknown)} (--select); it has '
                f'{", ".join(names)}'
            )
