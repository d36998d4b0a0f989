"""Results of inference, which of them are shown, and the files that they go into.

Text and pictures are here; the page is in :mod:`.report`, the video in
:mod:`.annotated_video`.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ..evaluation.functional.detections import dump_detections
from ..structures import Annotations, Segments
from ..utils import UserError
from ..utils.io import atomic_write
from ..visualization import Timeline, draw_timelines, read_strip


@dataclass(frozen=True)
class VideoResult:
    """Detections of one video, and what is needed to show them.

    Attributes:
        video_id: Name of the video.
        detections: By descending score, in seconds since the first frame.
        classes: Names of the labels.
        duration: Seconds.
        path: Video file; None for frames that came as an array.
        ground_truth: Annotated actions in seconds, where they are known.
        warnings: What was wrong with the file.
        first_frame_s: When players show the first frame, in seconds.
    """

    video_id: str
    detections: Segments
    classes: tuple[str, ...]
    duration: float
    path: str | None = None
    ground_truth: Segments | None = None
    warnings: tuple[str, ...] = ()
    first_frame_s: float = 0.0

    def rows(self) -> list[tuple[float, float, str, float]]:
        """Start and end in seconds, class name and score of each detection."""
        found = self.detections
        columns = (found.segments.tolist(), found.labels.tolist(), found.scores)
        return [
            (start, end, self.classes[label], float(score))
            for (start, end), label, score in zip(*columns, strict=True)
        ]

    def with_ground_truth(self, annotations: Annotations) -> VideoResult:
        """Adds the annotated actions of the video, found by its id or file name.

        Classes that only the annotations have come behind those of the model. Without
        an annotation of the video it is the same result.
        """
        path = Path(self.path or self.video_id)
        by_file = {Path(v.file).name: v for v in annotations.videos.values() if v.file}
        known = {**by_file, **annotations.videos}
        names = (self.video_id, path.stem, path.name)
        video = next((known[name] for name in names if name in known), None)
        if video is None:
            return self
        extra = [name for name in annotations.classes if name not in self.classes]
        classes = (*self.classes, *extra)
        labels = np.array([classes.index(name) for name in annotations.classes])
        truth = Segments(video.actions.segments, labels[video.actions.labels])
        return replace(self, classes=classes, ground_truth=truth)


@dataclass(frozen=True)
class Selection:
    """Which detections are shown and written.

    Attributes:
        score_thr: Those with lower scores are left out.
        top_k: Only the best of a video, at most this many. None: all.
        classes: Only these. None: all.

    Raises:
        UserError: A setting is out of range.
    """

    score_thr: float = 0.2
    top_k: int | None = 100
    classes: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        """Checks the settings."""
        if self.top_k is not None and self.top_k < 1:
            raise UserError(f'top_k must be at least 1 or None, got {self.top_k}')
        if not 0 <= self.score_thr <= 1:
            raise UserError(f'score_thr must be in 0..1, got {self.score_thr}')

    def check(self, classes: Sequence[str]) -> None:
        """Raises a :class:`.UserError` if a model lacks classes of the selection."""
        unknown = [name for name in self.classes or () if name not in classes]
        if unknown:
            raise UserError(
                f'class {", ".join(map(repr, unknown))} is unknown; the model knows '
                f'{", ".join(classes)}'
            )

    def __call__(self, result: VideoResult) -> VideoResult:
        """The same result with the selected detections only."""
        self.check(result.classes)
        found = result.detections
        keep = found.scores >= self.score_thr
        if self.classes is not None:
            labels = [result.classes.index(name) for name in self.classes]
            keep &= np.isin(found.labels, labels)
        return replace(result, detections=found[keep][: self.top_k])


class ResultWriter:
    """Writes the detections of one video into one file.

    Args:
        selection: Which detections are written.

    Attributes:
        suffix: Follows the name of the video in the name of the file.
    """

    suffix: str

    def __init__(self, selection: Selection) -> None:
        self.selection = selection

    def write(self, result: VideoResult, path: Path) -> None:
        """Writes the file, whole or not at all; missing folders are made."""
        with atomic_write(path) as temporary:
            self._write(self.selection(result), temporary)

    def _write(self, shown: VideoResult, path: Path) -> None:
        raise NotImplementedError


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
        blocks = enumerate(_cue_texts(shown, ','), start=1)
        text = '\n'.join(f'{number}\n{cue}' for number, cue in blocks)
        path.write_text(text, encoding='utf-8')


class VttWriter(ResultWriter):
    """WebVTT subtitles; as :class:`SrtWriter`, with special characters escaped."""

    suffix = '.vtt'

    def _write(self, shown: VideoResult, path: Path) -> None:
        text = '\n'.join(['WEBVTT\n', *_cue_texts(shown, '.', escaped=True)])
        path.write_text(text, encoding='utf-8')


class TimelineWriter(ResultWriter):
    """PNG: frames of the video along a time axis, and a row per class."""

    suffix = '.png'

    def _write(self, shown: VideoResult, path: Path) -> None:
        frames = read_strip(shown.path, shown.duration) if shown.path else []
        timeline = Timeline(
            shown.video_id, shown.duration, shown.detections, shown.ground_truth, frames
        )
        draw_timelines(path, [timeline], shown.classes, self.selection.score_thr)


def cues(result: VideoResult) -> list[tuple[int, int, dict[str, float]]]:
    """Cuts the time into stretches in which the same selected actions happen.

    Returns:
        Start and end in milliseconds of the player, and the best scores of the actions
        by their names, in descending order.
    """
    # Whole milliseconds, so that no stretch is empty once it is written.
    shift = result.first_frame_s
    rows = [
        (round((shift + start) * 1000), round((shift + end) * 1000), name, score)
        for start, end, name, score in result.rows()
    ]
    rows.sort(reverse=True)
    times = sorted({time for row in rows for time in row[:2]})
    active: list[tuple[int, int, str, float]] = []
    found: list[tuple[int, int, dict[str, float]]] = []
    for start, end in zip(times, times[1:], strict=False):
        while rows and rows[-1][0] <= start:
            active.append(rows.pop())
        active = [row for row in active if row[1] >= end]
        best: dict[str, float] = {}
        for *_, name, score in sorted(active, key=lambda row: -row[3]):
            best.setdefault(name, score)
        if found and found[-1][1:] == (start, best):
            found[-1] = (found[-1][0], end, best)
        elif best:
            found.append((start, end, best))
    return found


def _cue_texts(result: VideoResult, separator: str, escaped: bool = False) -> list[str]:
    """Subtitles without their numbers; ``separator`` is that of milliseconds."""
    texts = []
    for start, end, actions in cues(result):
        lines = [f'{_clock(start, separator)} --> {_clock(end, separator)}']
        for name, score in actions.items():
            # One line, without what ends a cue.
            name = ' '.join(name.split()).replace('-->', '→')
            if escaped:
                name = name.replace('&', '&amp;')
                name = name.replace('<', '&lt;').replace('>', '&gt;')
            lines.append(f'{name} ({score:.2f})')
        texts.append('\n'.join([*lines, '']))
    return texts


def _clock(millis: int, separator: str) -> str:
    """A time as subtitles write it, e.g. ``01:02:03,456`` with separator ','."""
    seconds, millis = divmod(millis, 1000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f'{hours:02d}:{minutes:02d}:{seconds:02d}{separator}{millis:03d}'
