"""Tables with a row for each action."""

from __future__ import annotations

import re
from collections.abc import Sequence

from mmtal_mts.datasets.sources import VIDEO_EXTENSIONS
from mmtal_mts.utils.errors import UserError

from .base import Importer, ImportOptions
from .collector import AMBIGUOUS, AnnotationCollector
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


def _column_of(columns: Sequence[str]) -> dict[str, str]:
    """Finds the columns by what they are called, whatever the spelling."""
    plain = {re.sub(r'[^a-z]', '', name.lower()): name for name in columns}
    found = {}
    for key, names in _ALIASES.items():
        for name in names:
            if name in plain:
                found[key] = plain[name]
                break
    return found


class CSVImporter(Importer):
    """A table ``video,start,end,label`` in seconds, also with tabs or semicolons.

    Times may be written 1:02.5. Columns may stand in any order under their usual
    names, with subset, duration and fps besides; without a first row of names the
    order is video, start, end, label.
    """

    name = 'csv'
    summary = 'table with the columns video,start,end,label (seconds or h:mm:ss)'

    def accepts(self, source: SourceFile) -> bool:
        """See :meth:`.Importer.accepts`."""
        if source.suffix not in ('.csv', '.tsv', '.txt'):
            return False
        columns = source.columns
        if self._is_headless(columns):
            return True
        if 'startFrame' in columns or 't-init' in columns:  # AFSD, G-TAD
            return False
        return set(_NEEDED) <= set(_column_of(columns))

    @staticmethod
    def _is_headless(columns: Sequence[str]) -> bool:
        return len(columns) == 4 and all(
            parse_seconds(value) is not None for value in columns[1:3]
        )

    def read(
        self,
        source: SourceFile,
        collector: AnnotationCollector,
        options: ImportOptions,
    ) -> None:
        """See :meth:`.Importer.read`."""
        columns = source.columns
        if self._is_headless(columns):
            column_of = dict(zip(_NEEDED, _NEEDED))
            lines = [Row(f'{source.path}:1', dict(zip(_NEEDED, columns)))]
            lines += [
                Row(row.where, dict(zip(_NEEDED, row.values.values())))
                for row in self._headless_rows(source)
            ]
        else:
            column_of = _column_of(columns)
            lines = source.rows
        missing = [key for key in _NEEDED if key not in column_of]
        if missing:
            raise UserError(
                f'{source.path}: no column {", ".join(missing)}; the first row must '
                f'name video, start, end and label, got {", ".join(columns)}'
            )
        for row in lines:
            values = {key: row[name] for key, name in column_of.items()}
            video = values['video']
            if not video:
                collector.drop('no video', row.where)
                continue
            collector.add_video(
                video,
                subset=values.get('subset'),
                duration=values.get('duration'),
                fps=values.get('fps'),
                file=video if video.lower().endswith(VIDEO_EXTENSIONS) else None,
            )
            collector.add_action(
                video, values['start'], values['end'], values['label'], row.where
            )

    @staticmethod
    def _headless_rows(source: SourceFile) -> list[Row]:
        """Rows below the first one, which stands where names of columns should."""
        if len(set(source.columns)) == len(source.columns):
            return source.rows
        raise UserError(
            f'{source.path}: give the table a first row video,start,end,label'
        )


class GTADTableImporter(Importer):
    """The evaluation table of G-TAD and BSN: classes are numbers.

    Label -1 is THUMOS14's Ambiguous.
    """

    name = 'gtad-csv'
    summary = 'table of G-TAD/BSN with t-init, t-end and label-idx (needs --classes)'

    def accepts(self, source: SourceFile) -> bool:
        """See :meth:`.Importer.accepts`."""
        if source.suffix != '.csv':
            return False
        return {'video-name', 't-init', 't-end', 'label-idx'} <= set(source.columns)

    def read(
        self,
        source: SourceFile,
        collector: AnnotationCollector,
        options: ImportOptions,
    ) -> None:
        """See :meth:`.Importer.read`."""
        if options.classes is None:
            raise UserError(
                f'{source.path}: the classes are numbers; name them with --classes FILE'
            )
        for row in source.rows:
            number = parse_seconds(row['label-idx'])
            label = AMBIGUOUS
            if number is None or number != -1:
                label = options.classes.at(int(number)) if number is not None else ''
            video = row['video-name']
            frames = [parse_seconds(row.values.get(key)) for key in ('f-init', 'f-end')]
            collector.add_video(
                video,
                duration=row.values.get('video-duration'),
                fps=row.values.get('frame-rate'),
            )
            collector.add_action(
                video,
                row['t-init'],
                row['t-end'],
                label or '',
                row.where,
                None if None in frames else frames,
            )
