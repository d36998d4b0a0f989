"""BORIS, the behavioral observation software: projects and exported tables."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Any, NamedTuple

from ...utils.errors import UserError
from .collector import Collector, Converter, check_selection
from .source_file import Row, SourceFile
from .values import media_name, parse_positive, parse_seconds, without_extension

_POINT = 'point event, has no duration'
_NOT_SELECTED = 'event of an observation not selected'
_AGGREGATED = ('Observation id', 'Behavior', 'Start (s)', 'Stop (s)')
# Seconds by which lengths that BORIS rounds to milliseconds may miss their sum.
_TOLERANCE_S = 0.01


class MediaFile(NamedTuple):
    """A video of an observation: name without folder, seconds, frames per second."""

    name: str
    duration: float | None = None
    fps: float | None = None


class MediaQueue:
    """Videos that were played one after the other in one observation.

    BORIS counts time on through all of them.

    Args:
        files: In the order of playing.
        total: Length of the observation. If it is given and the files do not sum up
            to it, some file is not known and times cannot be told.
    """

    def __init__(self, files: Sequence[MediaFile], total: float | None = None) -> None:
        self.files = list(files)
        durations = [file.duration for file in self.files]
        self._known = len(self.files) == 1 or None not in durations
        if self._known and len(self.files) > 1 and total is not None:
            self._known = abs(sum(durations) - total) < _TOLERANCE_S

    def locate(self, start: float, end: float) -> tuple[MediaFile, float, float] | str:
        """Finds the file of a segment, and start and end in its own seconds.

        A text instead says why that cannot be told.
        """
        if not self.files:
            return 'observation without a video'
        if not self._known:
            return 'several videos of unknown length (see --durations)'
        # Decimal: 227.765 - 179.96 is 47.805, not 47.80499999999998.
        offset = Decimal(0)
        for file in self.files[:-1]:
            stop = offset + Decimal(repr(file.duration))
            if start < float(stop):
                if end > float(stop):
                    return 'begins and ends in different videos'
                break
            offset = stop
        else:
            file = self.files[-1]
        begin, stop = (float(Decimal(repr(time)) - offset) for time in (start, end))
        return file, begin, stop

    def add(
        self,
        start: float | None,
        end: float | None,
        label: str,
        where: str,
        collector: Collector,
    ) -> None:
        """Adds one action at its place in the files, or counts why not."""
        place = 'start or end is not a time'
        if start is not None and end is not None:
            place = self.locate(start, end)
        if isinstance(place, str):
            collector.drop(place, where)
            return
        file, begin, stop = place
        video = without_extension(file.name)
        collector.add_video(video, duration=file.duration, fps=file.fps, file=file.name)
        collector.add_action(video, begin, stop, label, where)


class _Event(NamedTuple):
    """One key press of an observer."""

    time: float | None
    key: tuple[str, ...]
    label: str
    where: str


def _add_pairs(
    events: Iterable[_Event], queue: MediaQueue, collector: Collector
) -> None:
    """Every second event of a subject and behavior ends what the one before began."""
    open_events: dict[tuple[str, ...], _Event] = {}
    for event in events:
        begun = open_events.pop(event.key, None)
        if begun is None:
            open_events[event.key] = event
        else:
            queue.add(begun.time, event.time, event.label, begun.where, collector)
    for event in open_events.values():
        collector.drop('starts, but does not stop', event.where)


def _note_overlap(queues: dict[str, MediaQueue], collector: Collector) -> None:
    """Notes which videos were observed more than once."""
    observed = defaultdict(set)
    for name, queue in queues.items():
        for file in queue.files:
            observed[without_extension(file.name)].add(name)
    for video, names in observed.items():
        if len(names) > 1:
            collector.note(
                f'{video} is in {len(names)} observations ({", ".join(sorted(names))});'
                ' their actions are put together. --select OBSERVATION takes one.'
            )


@Converter(
    'boris',
    'BORIS projects; --select OBSERVATION ...',
    lambda source: {'observations', 'behaviors_conf'} <= set(source.json_object),
    uses_select=True,
)
def read_boris_project(source: SourceFile, collector: Collector) -> None:
    """Reads the state events of the observations in a project, by player 1."""
    observations, select = source.json['observations'], collector.options.select
    check_selection(source, 'observation', list(observations), select)
    behaviors = source.json['behaviors_conf'].values()
    points = {
        behavior['code']
        for behavior in behaviors
        if str(behavior.get('type', '')).lower().startswith('point')
    }
    queues = {}
    for name, observation in observations.items():
        events = observation.get('events') or []
        where = f'{source}: {name}'
        if select and name not in select:
            for _ in events:
                collector.drop(_NOT_SELECTED, where)
            continue
        if observation.get('time offset'):
            collector.note(
                f'{where}: has a time offset of {observation["time offset"]} s; '
                'times are taken as they stand in the file'
            )
        queue = _project_queue(observation)
        if events:
            queues[name] = queue
        states = []
        for index, event in enumerate(events):
            place = f'{where}: events[{index}]'
            match event:
                case [_, _, str(code), *_] if code in points:
                    collector.drop(_POINT, place)
                case [time, subject, code, *more]:
                    key = (str(subject), str(code), *map(str, more[:1]))
                    states.append(_Event(parse_seconds(time), key, code, place))
                case _:
                    collector.drop('event is not [time, subject, behavior]', place)
        states.sort(key=lambda event: event.time or 0.0)
        _add_pairs(states, queue, collector)
    _note_overlap(queues, collector)


def _project_queue(observation: dict[str, Any]) -> MediaQueue:
    info = observation.get('media_info') or {}
    lengths, rates = info.get('length') or {}, info.get('fps') or {}
    players = observation.get('file')
    paths = players.get('1', []) if isinstance(players, dict) else []
    files = []
    for path in paths:
        length, fps = parse_positive(lengths.get(path)), parse_positive(rates.get(path))
        files.append(MediaFile(media_name(path), length, fps))
    return MediaQueue(files)


def _table_queue(rows: Sequence[Row], collector: Collector) -> MediaQueue:
    """The files in the order of their first row; one without events is missing."""
    first = rows[0].values
    column = next((name for name in first if name.startswith('Media file')), None)
    names = dict.fromkeys(media_name(row.values[column]) for row in rows if column)
    total, fps = (parse_positive(first.get(key)) for key in ('Total length', 'FPS'))
    files = []
    for name in names:
        given = collector.options.durations.get(without_extension(name))
        duration = given.duration if given else None
        if len(names) == 1:
            duration = duration or total
        files.append(MediaFile(name, duration, fps))
    return MediaQueue(files, total)


@Converter(
    'boris-aggregated',
    'BORIS export of aggregated events; --select OBSERVATION ...',
    lambda source: (
        source.suffix in ('.tsv', '.csv') and set(_AGGREGATED) <= set(source.columns)
    ),
    uses_select=True,
)
def read_boris_aggregated(source: SourceFile, collector: Collector) -> None:
    """Reads the export "aggregated events": a row per behavior with start and stop."""
    by_observation: dict[str, list[Row]] = defaultdict(list)
    for row in source.rows:
        by_observation[row.values['Observation id']].append(row)
    select, queues = collector.options.select, {}
    for name, rows in by_observation.items():
        queues[name] = _table_queue(rows, collector)
        for where, row in rows:
            if select and name not in select:
                collector.drop(_NOT_SELECTED, where)
            elif row.get('Behavior type', '').upper() == 'POINT':
                collector.drop(_POINT, where)
            else:
                start, stop = (parse_seconds(row[key]) for key in _AGGREGATED[2:])
                queues[name].add(start, stop, row['Behavior'], where, collector)
    _note_overlap(queues, collector)


def _tabular_head(source: SourceFile) -> int | None:
    """The line with the names of the columns, which is below a head of facts."""
    if not source.text.startswith('Observation id'):
        return None
    for number, line in enumerate(source.text.splitlines()):
        values = line.replace(',', '\t').split('\t')
        if {'Time', 'Behavior', 'Status'} <= set(values):
            return number
    return None


@Converter(
    'boris-tabular',
    'BORIS export of tabular events of one observation',
    lambda source: (
        source.suffix in ('.tsv', '.csv') and _tabular_head(source) is not None
    ),
)
def read_boris_tabular(source: SourceFile, collector: Collector) -> None:
    """Reads the export "tabular events": START and STOP are rows of their own."""
    head = _tabular_head(source)
    if head is None:
        raise UserError(f'{source}: no row with the columns Time, Behavior and Status')
    rows, states = source.rows_below(head), []
    for where, row in rows:
        if row['Status'] == 'POINT':
            collector.drop(_POINT, where)
            continue
        key = (row.get('Subject', ''), row['Behavior'])
        states.append(_Event(parse_seconds(row['Time']), key, key[1], where))
    if rows:
        _add_pairs(states, _table_queue(rows, collector), collector)
