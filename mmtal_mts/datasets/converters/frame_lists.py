"""Text lists of data sets: THUMOS14 in seconds; KTH and UT-Interaction in frames."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ...structures.timebase import frames_to_seconds
from ...utils.errors import UserError
from .collector import Collector
from .registry import Converter
from .source_file import SourceFile
from .values import parse_seconds

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


def _seconds(frame: str, fps: float, first: int = 0) -> float | None:
    """When a frame begins, if they are counted from ``first``."""
    number = parse_seconds(frame)
    return None if number is None else frames_to_seconds(number - first, fps)


def _is_thumos14(source: SourceFile) -> bool:
    return bool(_THUMOS14_FILE.fullmatch(source.name)) and any(
        _THUMOS14_LINE.fullmatch(line) for _, line in source.lines[:3]
    )


@Converter(
    'thumos14',
    'THUMOS14, official folders of CLASS_val.txt and CLASS_test.txt',
    _is_thumos14,
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
    rows = _kth_table if source.suffix == '.csv' else _kth_text
    for where, name, ranges in rows(source):
        match = _KTH_NAME.fullmatch(name)
        if match is None:
            raise UserError(f'{where}: {name!r} is not the name of a KTH video')
        collector.add_video(name, fps=fps, file=f'{name}_uncomp.avi')
        if not ranges:
            collector.note(f'{where}: {name} has no sequence')
        for first, last in ranges:
            start, end = _seconds(first, fps, first=1), _seconds(last, fps)
            collector.add_action(name, start, end, match[1], where)


def _kth_text(source: SourceFile) -> Iterator[tuple[str, str, list]]:
    found = False
    # The file of the authors begins with an explanation.
    for where, line in source.lines:
        match = _KTH_LINE.fullmatch(line)
        if match is not None:
            found = True
            yield where, match[1], _KTH_RANGE.findall(match[3])
    if not found:
        raise UserError(f'{source}: no line "VIDEO frames A-B, C-D, ..."')


def _kth_table(source: SourceFile) -> Iterator[tuple[str, str, list]]:
    for row in source.rows:
        name, *values = row.values.values()
        pairs = zip(values[::2], values[1::2], strict=False)
        yield row.where, name, [pair for pair in pairs if any(pair)]


def _is_ut_sheet(source: SourceFile) -> bool:
    """Whether the names of the columns are in the second line."""
    return source.columns_at(1)[:4] == _UT_SHEET


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
    if collector.options.fps is None:
        raise UserError(
            f'{source}: the times are frames; give the frame rate of the videos with '
            '--fps'
        )
    if _is_ut_sheet(source):
        rows = [(where, values[:4]) for where, values in source.values_below(1)]
        names = {float(number): name for number, name in enumerate(_UT_CLASSES)}
    else:
        rows = [(row.where, [row[key] for key in _UT_COLUMNS]) for row in source.rows]
        names = None
    for where, (sequence, label, *bounds) in rows:
        if names is not None:
            label = names.get(parse_seconds(label), '')
        start, end = (_seconds(frame, collector.options.fps) for frame in bounds)
        collector.add_video(sequence, fps=collector.options.fps)
        collector.add_action(sequence, start, end, label, where)
