"""Files in which the detections of a video are shown and passed on.

Text and pictures are here; the page is in :mod:`.report`, the video in
:mod:`.annotated_video`.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

from ..evaluation.functional.detections import dump_detections
from ..utils import UserError
from ..visualization import Timeline, draw_timeline, read_strip
from .annotated_video import AnnotatedVideoWriter
from .report import HtmlReportWriter
from .video_result import ResultWriter, Selection, VideoResult


class ActivityNetWriter(ResultWriter):
    """JSON in the format of the ActivityNet challenge, nothing rounded."""

    suffix = '.json'

    def _write(self, shown: VideoResult, path: Path) -> None:
        dump_detections(path, {shown.video_id: shown.detections}, shown.classes)


class CsvWriter(ResultWriter):
    """A table ``video,start,end,label,score``, times in seconds, by start."""

    suffix = '.csv'

    def _write(self, shown: VideoResult, path: Path) -> None:
        with open(path, 'w', newline='', encoding='utf-8') as file:
            table = csv.writer(file)
            table.writerow(['video', 'start', 'end', 'label', 'score'])
            for start, end, name, score in sorted(shown.rows()):
                times = (f'{start:.3f}', f'{end:.3f}')
                table.writerow([shown.video_id, *times, name, f'{score:.4f}'])


class SrtWriter(ResultWriter):
    """SubRip subtitles.

    Not every player shows overlapping subtitles, so each names all actions of its
    time.
    """

    suffix = '.srt'

    def _write(self, shown: VideoResult, path: Path) -> None:
        blocks = [
            f'{number}\n{_cue(*cue, ",", _plain)}'
            for number, cue in enumerate(cues(shown), start=1)
        ]
        path.write_text('\n'.join(blocks), encoding='utf-8')


class VttWriter(ResultWriter):
    """WebVTT subtitles; as :class:`SrtWriter`, with special characters escaped."""

    suffix = '.vtt'

    def _write(self, shown: VideoResult, path: Path) -> None:
        blocks = ['WEBVTT\n', *(_cue(*cue, '.', _escape) for cue in cues(shown))]
        path.write_text('\n'.join(blocks), encoding='utf-8')


class TimelineWriter(ResultWriter):
    """PNG: frames of the video along a time axis, and a row per class."""

    suffix = '.png'

    def _write(self, shown: VideoResult, path: Path) -> None:
        frames = read_strip(shown.path, shown.duration) if shown.path else []
        timeline = Timeline(
            shown.video_id, shown.duration, shown.detections, shown.ground_truth, frames
        )
        draw_timeline(path, timeline, shown.classes, self.selection.score_thr)


FORMATS: dict[str, type[ResultWriter]] = {
    'json': ActivityNetWriter,
    'csv': CsvWriter,
    'srt': SrtWriter,
    'vtt': VttWriter,
    'png': TimelineWriter,
    'html': HtmlReportWriter,
    'mp4': AnnotatedVideoWriter,
}
"""Writers by the name of their format, the quickest first."""


def build_writers(
    formats: Sequence[str], selection: Selection
) -> dict[str, ResultWriter]:
    """Makes a writer for each format.

    Args:
        formats: Some of :data:`FORMATS`.
        selection: Which detections are written.

    Returns:
        Writers by format, the quickest first.

    Raises:
        UserError: A format is unknown.
    """
    unknown = [name for name in formats if name not in FORMATS]
    if unknown or not formats:
        raise UserError(
            f'unknown format {", ".join(map(repr, unknown)) or "(none)"}; choose from '
            f'{", ".join(FORMATS)}'
        )
    return {
        name: writer(selection) for name, writer in FORMATS.items() if name in formats
    }


def cues(
    result: VideoResult,
) -> list[tuple[float, float, list[tuple[str, float]]]]:
    """Cuts the time into stretches in which the same selected actions happen.

    Returns:
        Start and end in seconds of the player, rounded to milliseconds, and the names
        and best scores of the actions, by descending score.
    """
    # Whole milliseconds, so that no stretch is empty once it is written.
    rows = [
        (*(round((result.first_frame_s + time) * 1000) for time in times), name, score)
        for *times, name, score in result.rows()
    ]
    rows.sort(reverse=True)
    times = sorted({time for row in rows for time in row[:2]})
    active: list[tuple] = []
    found: list[tuple[float, float, list[tuple[str, float]]]] = []
    for start, end in zip(times, times[1:], strict=False):
        while rows and rows[-1][0] <= start:
            active.append(rows.pop())
        active = [row for row in active if row[1] >= end]
        best: dict[str, float] = {}
        for _, _, name, score in active:
            best[name] = max(score, best.get(name, 0.0))
        actions = sorted(best.items(), key=lambda item: -item[1])
        if found and found[-1][1:] == (start / 1000, actions):
            found[-1] = (found[-1][0], end / 1000, actions)
        elif actions:
            found.append((start / 1000, end / 1000, actions))
    return found


def clock(seconds: float, separator: str) -> str:
    """A time as subtitles write it, e.g. ``01:02:03,456`` with separator ','."""
    rest, millis = divmod(round(seconds * 1000), 1000)
    minutes, rest = divmod(rest, 60)
    hours, minutes = divmod(minutes, 60)
    return f'{hours:02d}:{minutes:02d}:{rest:02d}{separator}{millis:03d}'


def _cue(start, end, actions, separator, clean) -> str:
    times = f'{clock(start, separator)} --> {clock(end, separator)}'
    lines = [f'{clean(name)} ({score:.2f})' for name, score in actions]
    return '\n'.join([times, *lines, ''])


def _plain(name: str) -> str:
    """One line without what ends a cue."""
    return ' '.join(name.split()).replace('-->', '→')


def _escape(name: str) -> str:
    name = _plain(name).replace('&', '&amp;')
    return name.replace('<', '&lt;').replace('>', '&gt;')
