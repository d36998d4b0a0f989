"""BORIS, the behavioral observation software: projects and exported tables."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any, NamedTuple

from mmtal_mts.utils.errors import UserError

from .base import Importer, ImportOptions
from .boris_media import MediaFile, MediaQueue
from .collector import AnnotationCollector
from .source_file import Row, SourceFile
from .values import media_name, parse_positive, parse_seconds, without_extension

_POINT = 'point event, has no duration'
_UNPAIRED = 'starts, but does not stop'


class _Event(NamedTuple):
    """One key press of an observer."""

    time: float | None
    key: tuple[str, ...]
    label: str
    where: str


def _add(
    queue: MediaQueue,
    start: float | None,
    end: float | None,
    label: str,
    where: str,
    collector: AnnotationCollector,
) -> None:
    """Adds one action at its place in the videos of its observation."""
    if start is None or end is None:
        collector.drop('start or end is not a time', where)
        return
    place = queue.locate(start, end)
    if isinstance(place, str):
        collector.drop(place, where)
        return
    file, begin, stop = place
    video = without_extension(file.name)
    collector.add_video(video, duration=file.duration, fps=file.fps, file=file.name)
    collector.add_action(video, begin, stop, label, where)


def _add_pairs(
    events: Iterable[_Event], queue: MediaQueue, collector: AnnotationCollector
) -> None:
    """Every second event of a subject and behavior ends what the one before began."""
    open_events: dict[tuple[str, ...], _Event] = {}
    for event in events:
        begun = open_events.pop(event.key, None)
        if begun is None:
            open_events[event.key] = event
        else:
            _add(queue, begun.time, event.time, event.label, begun.where, collector)
    for event in open_events.values():
        collector.drop(_UNPAIRED, event.where)


def _note_overlap(videos: dict[str, set[str]], collector: AnnotationCollector) -> None:
    """Says which videos were observed more than once."""
    shared = {video: names for video, names in videos.items() if len(names) > 1}
    for video, names in shared.items():
        collector.note(
            f'{video} is in {len(names)} observations ({", ".join(sorted(names))}); '
            'their actions are put together. --select OBSERVATION takes one.'
        )


class BORISProjectImporter(Importer):
    """State events of the observations in a ``.boris`` project, by player 1."""

    name = 'boris'
    summary = 'BORIS projects; --select OBSERVATION ...'
    uses_select = True

    def accepts(self, source: SourceFile) -> bool:
        """See :meth:`.Importer.accepts`."""
        data = source.json_or_none
        return isinstance(data, dict) and {'observations', 'behaviors_conf'} <= set(
            data
        )

    def read(
        self,
        source: SourceFile,
        collector: AnnotationCollector,
        options: ImportOptions,
    ) -> None:
        """See :meth:`.Importer.read`."""
        observations = source.json['observations']
        unknown = sorted(set(options.select) - set(observations))
        if unknown:
            raise UserError(
                f'{source.path}: no observation {", ".join(unknown)} (--select); it '
                f'has {", ".join(observations)}'
            )
        kinds = {
            behavior['code']: str(behavior.get('type', ''))
            for behavior in source.json['behaviors_conf'].values()
        }
        observed = defaultdict(set)
        for name, observation in observations.items():
            events = observation.get('events') or []
            where = f'{source.path}: {name}'
            if options.select and name not in options.select:
                for _ in events:
                    collector.drop('event of an observation not selected', where)
                continue
            if observation.get('time offset'):
                collector.note(
                    f'{where}: has a time offset of {observation["time offset"]} s; '
                    'times are taken as they stand in the file'
                )
            queue = self._queue(observation)
            for file in queue.files:
                if events:
                    observed[without_extension(file.name)].add(name)
            self._read_events(events, kinds, queue, where, collector)
        _note_overlap(observed, collector)

    @staticmethod
    def _queue(observation: dict[str, Any]) -> MediaQueue:
        info = observation.get('media_info') or {}
        lengths, rates = info.get('length') or {}, info.get('fps') or {}
        players = observation.get('file')
        paths = players.get('1', []) if isinstance(players, dict) else []
        return MediaQueue(
            [
                MediaFile(
                    media_name(path),
                    parse_positive(lengths.get(path)),
                    parse_positive(rates.get(path)),
                )
                for path in paths
            ]
        )

    @staticmethod
    def _read_events(
        events: list[Any],
        kinds: dict[str, str],
        queue: MediaQueue,
        where: str,
        collector: AnnotationCollector,
    ) -> None:
        states = []
        for index, event in enumerate(events):
            place = f'{where}: events[{index}]'
            if not isinstance(event, list) or len(event) < 3:
                collector.drop('event is not [time, subject, behavior]', place)
                continue
            time, subject, code = event[:3]
            if kinds.get(code, '').lower().startswith('point'):
                collector.drop(_POINT, place)
                continue
            modifiers = str(event[3]) if len(event) > 3 else ''
            key = (str(subject), str(code), modifiers)
            states.append(_Event(parse_seconds(time), key, code, place))
        states.sort(key=lambda event: event.time if event.time is not None else 0.0)
        _add_pairs(states, queue, collector)


class BORISAggregatedImporter(Importer):
    """The export "aggregated events": a row for each behavior with start and stop."""

    name = 'boris-aggregated'
    summary = 'BORIS export of aggregated events; --select OBSERVATION ...'
    uses_select = True

    _columns = ('Observation id', 'Behavior', 'Start (s)', 'Stop (s)')

    def accepts(self, source: SourceFile) -> bool:
        """See :meth:`.Importer.accepts`."""
        if source.suffix not in ('.tsv', '.csv'):
            return False
        return set(self._columns) <= set(source.columns)

    def read(
        self,
        source: SourceFile,
        collector: AnnotationCollector,
        options: ImportOptions,
    ) -> None:
        """See :meth:`.Importer.read`."""
        by_observation: dict[str, list[Row]] = defaultdict(list)
        for row in source.rows:
            by_observation[row['Observation id']].append(row)
        observed = defaultdict(set)
        for name, rows in by_observation.items():
            queue = self._queue(rows, options)
            for file in queue.files:
                observed[without_extension(file.name)].add(name)
            for row in rows:
                start, stop = (parse_seconds(row[key]) for key in self._columns[2:])
                if options.select and name not in options.select:
                    collector.drop('event of an observation not selected', row.where)
                elif row.values.get('Behavior type', '').upper() == 'POINT':
                    collector.drop(_POINT, row.where)
                else:
                    _add(queue, start, stop, row['Behavior'], row.where, collector)
        _note_overlap(observed, collector)

    @staticmethod
    def _queue(rows: list[Row], options: ImportOptions) -> MediaQueue:
        """The files in the order of their first row; a silent one is missing here."""
        column = next((c for c in rows[0].values if c.startswith('Media file')), None)
        names = list(dict.fromkeys(media_name(row[column]) for row in rows if column))
        total = parse_positive(rows[0].values.get('Total length'))
        fps = parse_positive(rows[0].values.get('FPS'))
        files = []
        for name in names:
            given = options.durations.get(without_extension(name))
            duration = given.duration if given else None
            if len(names) == 1:
                duration = duration or total
            files.append(MediaFile(name, duration, fps))
        return MediaQueue(files, total)


class BORISTabularImporter(Importer):
    """The export "tabular events": START and STOP stand in rows of their own."""

    name = 'boris-tabular'
    summary = 'BORIS export of tabular events of one observation'

    def accepts(self, source: SourceFile) -> bool:
        """See :meth:`.Importer.accepts`."""
        if source.suffix not in ('.tsv', '.csv'):
            return False
        return self._first_line(source) is not None

    @staticmethod
    def _first_line(source: SourceFile) -> int | None:
        """Finds the names of the columns, which stand below a head of facts."""
        if not source.text.startswith('Observation id'):
            return None
        for number, line in enumerate(source.text.splitlines()):
            values = line.replace(',', '\t').split('\t')
            if {'Time', 'Behavior', 'Status'} <= set(values):
                return number
        return None

    def read(
        self,
        source: SourceFile,
        collector: AnnotationCollector,
        options: ImportOptions,
    ) -> None:
        """See :meth:`.Importer.read`."""
        first = self._first_line(source)
        if first is None:
            raise UserError(
                f'{source.path}: no row with the columns Time, Behavior and Status'
            )
        rows = source.rows_below(first)
        states = []
        for row in rows:
            if row['Status'] == 'POINT':
                collector.drop(_POINT, row.where)
                continue
            key = (row.values.get('Subject', ''), row['Behavior'])
            event = _Event(parse_seconds(row['Time']), key, row['Behavior'], row.where)
            states.append(event)
        if rows:
            queue = BORISAggregatedImporter._queue(rows, options)
            _add_pairs(states, queue, collector)
