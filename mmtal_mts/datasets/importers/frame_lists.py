"""Data sets annotated in source frames: KTH, UT-Interaction."""

from __future__ import annotations

import re
from collections.abc import Iterator

from mmtal_mts.utils.errors import UserError

from .base import Importer, ImportOptions
from .collector import AnnotationCollector
from .source_file import SourceFile
from .values import parse_seconds

_KTH_FPS = 25.0
_KTH_LINE = re.compile(r'(person\d+_([a-z]+)_d\d+)\s+frames\s*(.*)')
_KTH_RANGE = re.compile(r'(\d+)-(\d+)')


class KTHImporter(Importer):
    """``00sequences.txt`` or the same as a table: frames from 1, the last included.

    Frame n lasts from ``(n - 1) / fps`` to ``n / fps``. KTH has 25 frames per second.
    """

    name = 'kth'
    summary = 'KTH 00sequences.txt, or the same as a table (FramesOfIntrest.csv)'
    uses_fps = True

    def accepts(self, source: SourceFile) -> bool:
        """See :meth:`.Importer.accepts`."""
        if source.suffix == '.csv':
            return source.columns[:3] == ['Filename', 'start_1', 'end_1']
        if source.suffix != '.txt':
            return False
        return any(_KTH_LINE.fullmatch(line) for _, line in source.lines[:30])

    def read(
        self,
        source: SourceFile,
        collector: AnnotationCollector,
        options: ImportOptions,
    ) -> None:
        """See :meth:`.Importer.read`."""
        fps = options.fps or _KTH_FPS
        is_table = source.suffix == '.csv'
        for where, name, ranges in (
            self._table(source) if is_table else self._text(source)
        ):
            match = re.fullmatch(r'person\d+_([a-z]+)_d\d+', name)
            if match is None:
                raise UserError(f'{where}: {name!r} is not the name of a KTH video')
            collector.add_video(name, fps=fps, file=f'{name}_uncomp.avi')
            if not ranges:
                collector.note(f'{where}: {name} has no sequence')
            for first, last in ranges:
                frames = [parse_seconds(first), parse_seconds(last)]
                start = None if frames[0] is None else (frames[0] - 1) / fps
                end = None if frames[1] is None else frames[1] / fps
                collector.add_action(name, start, end, match[1], where)

    @staticmethod
    def _text(source: SourceFile):
        skipped = 0
        for where, line in source.lines:
            match = _KTH_LINE.fullmatch(line)
            if match is None:
                skipped += 1
                continue
            yield where, match[1], _KTH_RANGE.findall(match[3])
        # The file of the authors begins with an explanation.
        if skipped == len(source.lines):
            raise UserError(f'{source.path}: no line "VIDEO frames A-B, C-D, ..."')

    @staticmethod
    def _table(source: SourceFile):
        for row in source.rows:
            name, *values = row.values.values()
            pairs = list(zip(values[::2], values[1::2]))
            yield row.where, name, [pair for pair in pairs if any(pair)]


class UTInteractionImporter(Importer):
    """The labels of UT-Interaction as a table, in frames from 0.

    Either with the columns set, sequence, class, start_frame and end_frame, or a sheet
    of the authors' ``.xls`` file saved as CSV, in which the classes are numbers.
    """

    name = 'ut-interaction'
    summary = 'UT-Interaction labels, sheets saved as CSV or a table (needs --fps)'
    uses_fps = True

    _columns = ('sequence', 'class', 'start_frame', 'end_frame')
    _sheet_columns = (
        'sequence #',
        'Activity Class ID',
        'Starting Frame #',
        'Ending Frame #',
    )
    # In the order of the authors' numbers.
    _classes = ('handshake', 'hug', 'kick', 'point', 'punch', 'push')

    def accepts(self, source: SourceFile) -> bool:
        """See :meth:`.Importer.accepts`."""
        if source.suffix != '.csv':
            return False
        return self._is_sheet(source) or set(self._columns) <= set(source.columns)

    def _is_sheet(self, source: SourceFile) -> bool:
        """Whether the names of the columns stand in the second line."""
        return tuple(source.columns_at(1)[:4]) == self._sheet_columns

    def read(
        self,
        source: SourceFile,
        collector: AnnotationCollector,
        options: ImportOptions,
    ) -> None:
        """See :meth:`.Importer.read`."""
        if options.fps is None:
            raise UserError(
                f'{source.path}: the times are frames; give the frame rate of the '
                'videos with --fps'
            )
        for row, values in self._rows(source):
            sequence, label, *bounds = values
            frames = [parse_seconds(value) for value in bounds]
            start, end = (None if f is None else f / options.fps for f in frames)
            collector.add_video(sequence, fps=options.fps)
            collector.add_action(sequence, start, end, label, row)

    def _rows(self, source: SourceFile) -> Iterator[tuple[str, list[str]]]:
        """Yields place and sequence, class, start and end of each row."""
        if not self._is_sheet(source):
            for row in source.rows:
                yield row.where, [row[name] for name in self._columns]
            return
        for where, values in source.values_below(1):
            sequence, number, *bounds = values[:4]
            index = parse_seconds(number)
            known = index is not None and index in range(len(self._classes))
            yield where, [sequence, self._classes[int(index)] if known else '', *bounds]
