"""Results as text: for programs, spreadsheets and video players."""

from __future__ import annotations

import csv
from pathlib import Path

from mmtal_mts.evaluation.functional.detections import dump_detections
from mmtal_mts.utils.io import atomic_write

from .result import VideoResult
from .writer import ResultWriter

_CueList = list[tuple[float, float, list[tuple[str, float]]]]


class ActivityNetWriter(ResultWriter):
    """JSON in the format of the ActivityNet challenge, nothing rounded."""

    suffix = '.json'

    def write(self, result: VideoResult, path: Path) -> None:
        """See :meth:`ResultWriter.write`."""
        shown = self.selection(result)
        dump_detections(path, {shown.video_id: shown.detections}, shown.classes)


class CsvWriter(ResultWriter):
    """A table ``video,start,end,label,score``, times in seconds, by start."""

    suffix = '.csv'

    def write(self, result: VideoResult, path: Path) -> None:
        """See :meth:`ResultWriter.write`."""
        with (
            atomic_write(path) as temporary,
            open(temporary, 'w', newline='', encoding='utf-8') as file,
        ):
            table = csv.writer(file)
            table.writerow(['video', 'start', 'end', 'label', 'score'])
            for start, end, name, score in sorted(self.selection(result).rows()):
                table.writerow(
                    [
                        result.video_id,
                        f'{start:.3f}',
                        f'{end:.3f}',
                        name,
                        f'{score:.4f}',
                    ]
                )


class SrtWriter(ResultWriter):
    """SubRip subtitles.

    Not every player shows overlapping subtitles, so each names all actions that
    happen at its time.
    """

    suffix = '.srt'

    def write(self, result: VideoResult, path: Path) -> None:
        """See :meth:`ResultWriter.write`."""
        blocks = []
        for number, (start, end, actions) in enumerate(
            cues(self.selection(result)), start=1
        ):
            lines = [f'{_plain(name)} ({score:.2f})' for name, score in actions]
            times = f'{clock(start, ",")} --> {clock(end, ",")}'
            blocks.append('\n'.join([str(number), times, *lines, '']))
        with atomic_write(path) as temporary:
            temporary.write_text('\n'.join(blocks), encoding='utf-8')


class VttWriter(ResultWriter):
    """WebVTT subtitles; as :class:`SrtWriter`, with special characters escaped."""

    suffix = '.vtt'

    def write(self, result: VideoResult, path: Path) -> None:
        """See :meth:`ResultWriter.write`."""
        blocks = ['WEBVTT\n']
        for start, end, actions in cues(self.selection(result)):
            lines = [f'{_escape(name)} ({score:.2f})' for name, score in actions]
            times = f'{clock(start, ".")} --> {clock(end, ".")}'
            blocks.append('\n'.join([times, *lines, '']))
        with atomic_write(path) as temporary:
            temporary.write_text('\n'.join(blocks), encoding='utf-8')


def cues(result: VideoResult) -> _CueList:
    """Cuts the time into stretches in which the same actions happen.

    Args:
        result (VideoResult): Selected detections.

    Returns:
        list: Start and end in seconds of the player, rounded to milliseconds, and the
        names and best scores of the actions, by descending score.
    """
    # Whole milliseconds, so that no stretch is empty once it is written.
    first = result.first_frame_s
    waiting = sorted(
        (
            (round((first + start) * 1000), round((first + end) * 1000), name, score)
            for start, end, name, score in result.rows()
        ),
        reverse=True,
    )
    times = sorted({time for row in waiting for time in row[:2]})
    active: list[tuple[int, int, str, float]] = []
    found: _CueList = []
    for start, end in zip(times, times[1:]):
        while waiting and waiting[-1][0] <= start:
            active.append(waiting.pop())
        active = [row for row in active if row[1] >= end]
        best: dict[str, float] = {}
        for _, _, name, score in active:
            best[name] = max(score, best.get(name, 0.0))
        if not best:
            continue
        actions = sorted(best.items(), key=lambda item: -item[1])
        if found and found[-1][1] == start / 1000 and found[-1][2] == actions:
            found[-1] = (found[-1][0], end / 1000, actions)
        else:
            found.append((start / 1000, end / 1000, actions))
    return found


def clock(seconds: float, separator: str) -> str:
    """A time as subtitles write it.

    Args:
        seconds (float): Not negative.
        separator (str): Before the milliseconds.

    Returns:
        str: E.g. ``01:02:03,456``.
    """
    total = round(seconds * 1000)
    hours, rest = divmod(total, 3_600_000)
    minutes, rest = divmod(rest, 60_000)
    whole, millis = divmod(rest, 1000)
    return f'{hours:02d}:{minutes:02d}:{whole:02d}{separator}{millis:03d}'


def _plain(name: str) -> str:
    """One line without what ends a cue."""
    return ' '.join(name.split()).replace('-->', '→')


def _escape(name: str) -> str:
    name = _plain(name).replace('&', '&amp;')
    return name.replace('<', '&lt;').replace('>', '&gt;')
