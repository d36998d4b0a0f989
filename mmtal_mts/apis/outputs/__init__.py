"""Files in which detections are shown and passed on."""

from __future__ import annotations

from collections.abc import Sequence

from mmtal_mts.utils import UserError

from .annotated_video import AnnotatedVideoWriter
from .report import HtmlReportWriter
from .result import GroundTruth, Selection, VideoResult
from .text_writers import ActivityNetWriter, CsvWriter, SrtWriter, VttWriter
from .timeline_writer import TimelineWriter
from .writer import VIDEO_SUFFIXES, ResultWriter

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
        formats (Sequence[str]): Some of :data:`FORMATS`.
        selection (Selection): Which detections are written.

    Returns:
        dict[str, ResultWriter]: By format.

    Raises:
        UserError: If a format is unknown.
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


__all__ = [
    'FORMATS',
    'VIDEO_SUFFIXES',
    'ActivityNetWriter',
    'AnnotatedVideoWriter',
    'CsvWriter',
    'GroundTruth',
    'HtmlReportWriter',
    'ResultWriter',
    'Selection',
    'SrtWriter',
    'TimelineWriter',
    'VideoResult',
    'VttWriter',
    'build_writers',
]
