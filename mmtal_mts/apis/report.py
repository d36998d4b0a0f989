"""Results as a page that needs nothing but itself, and perhaps the video beside it."""

from __future__ import annotations

import base64
import hashlib
import os
from pathlib import Path
from typing import Any
from urllib.parse import quote

import jinja2
import numpy as np

from ..structures import Segments, pairwise_tiou
from ..utils.io import atomic_write
from ..visualization import MATCH_TIOU, class_color
from .annotated_video import PREVIEW_SUFFIX, is_playable, write_preview
from .writers import ResultWriter, Selection, VideoResult

_TEMPLATES = Path(__file__).parent / 'templates'
# The slider reaches down to this score, if the detections are not too many.
_WEAKEST = 0.05
_MAX_SEGMENTS = 500


class HtmlReportWriter(ResultWriter):
    """HTML: the video, a timeline per class, and a table.

    Detections below the threshold are in the page too, for its slider. The video is
    a part of the page if it is small, and else linked relative to it. What browsers
    cannot play is converted first.

    Args:
        selection: ``score_thr`` is where the slider stands at first.
        max_embedded: Largest video in bytes that becomes a part of the page.
    """

    suffix = '.html'

    def __init__(
        self, selection: Selection, max_embedded: int = 10 * 1024 * 1024
    ) -> None:
        super().__init__(selection)
        self.max_embedded = max_embedded

    def write(self, result: VideoResult, path: Path) -> None:
        """See :meth:`.ResultWriter.write`."""
        path.parent.mkdir(parents=True, exist_ok=True)
        weakest = min(self.selection.score_thr, _WEAKEST)
        shown = Selection(weakest, _MAX_SEGMENTS, self.selection.classes)(result)
        source, embedded, first_frame_s = self._video(shown, path)
        environment = jinja2.Environment(
            autoescape=True, undefined=jinja2.StrictUndefined
        )
        environment.filters['sha256'] = _sha256
        template = (_TEMPLATES / 'report.html').read_text(encoding='utf-8')
        page = environment.from_string(template).render(
            name=shown.video_id,
            data=_data(shown, self.selection.score_thr, first_frame_s),
            source=source,
            embedded=embedded,
            warnings=shown.warnings,
            js=(_TEMPLATES / 'report.js').read_text(encoding='utf-8'),
        )
        with atomic_write(path) as temporary:
            temporary.write_text(page, encoding='utf-8')

    def _video(
        self, result: VideoResult, path: Path
    ) -> tuple[str | None, str | None, float]:
        """Address of a linked video, or an embedded one in base64; its first frame."""
        if result.path is None:
            return None, None, 0.0
        video, first_frame_s = Path(result.path), result.first_frame_s
        if not is_playable(video):
            first_frame_s = 0.0
            video = path.with_name(f'{path.stem}{PREVIEW_SUFFIX}')
            write_preview(result.path, video)
        if video.stat().st_size > self.max_embedded:
            relative = os.path.relpath(video.resolve(), path.parent.resolve())
            # Quotes colons too: "a:b.mp4" is no scheme.
            return quote(Path(relative).as_posix()), None, first_frame_s
        embedded = base64.b64encode(video.read_bytes()).decode('ascii')
        if video != Path(result.path):
            video.unlink()
        return None, embedded, first_frame_s


def _data(result: VideoResult, score_thr: float, first_frame_s: float) -> dict:
    """Everything that the script of the page works on."""
    found, truth = result.detections, result.ground_truth
    detections = _rows(found)
    matches = np.zeros(len(found))
    if truth is not None:
        tiou = pairwise_tiou(found.segments, truth.segments)
        same = found.labels[:, None] == truth.labels
        matches = np.where(same, tiou, 0.0).max(axis=1, initial=0.0)
    columns = (detections, found.scores.tolist(), matches.tolist())
    for row, score, tiou in zip(*columns, strict=True):
        row.update(score=round(score, 4), tiou=round(tiou, 3))
    used = {*found.labels.tolist(), *(() if truth is None else truth.labels.tolist())}
    return dict(
        duration=round(result.duration, 3),
        first_frame=round(first_frame_s, 3),
        threshold=score_thr,
        match=MATCH_TIOU,
        classes={
            label: dict(name=result.classes[label], color=class_color(label))
            for label in sorted(used)
        },
        detections=detections,
        truth=None if truth is None else _rows(truth),
    )


def _rows(actions: Segments) -> list[dict[str, Any]]:
    return [
        dict(start=start, end=end, label=label)
        for (start, end), label in zip(
            np.round(actions.segments, 3).tolist(), actions.labels.tolist(), strict=True
        )
    ]


def _sha256(text: str) -> str:
    """What the page's policy says of the only style and the only script."""
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
