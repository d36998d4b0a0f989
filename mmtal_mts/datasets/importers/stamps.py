"""Segments without classes, as proposal generators use them."""

from __future__ import annotations

from .base import Importer, ImportOptions
from .collector import AnnotationCollector
from .source_file import SourceFile

_KEY = 'gt_second_stamps'
LABEL = 'action'
"""The one class of segments that have none."""


class SecondStampsImporter(Importer):
    """JSON with lists of segments in "gt_second_stamps"; all become one class."""

    name = 'second-stamps'
    summary = f'proposal ground truth with {_KEY}; the one class is called {LABEL!r}'

    def accepts(self, source: SourceFile) -> bool:
        """See :meth:`.Importer.accepts`."""
        data = source.json_or_none
        if not isinstance(data, dict) or not data:
            return False
        first = next(iter(data.values()))
        return isinstance(first, dict) and _KEY in first

    def read(
        self,
        source: SourceFile,
        collector: AnnotationCollector,
        options: ImportOptions,
    ) -> None:
        """See :meth:`.Importer.read`."""
        for video, entry in source.json.items():
            collector.add_video(
                video, duration=entry.get('duration'), fps=entry.get('fps')
            )
            for index, segment in enumerate(entry.get(_KEY) or []):
                where = f'{source.path}: {video}: {_KEY}[{index}]'
                if not isinstance(segment, list) or len(segment) != 2:
                    collector.drop('segment is not [start, end]', where, video)
                    continue
                collector.add_action(video, *segment, LABEL, where)
