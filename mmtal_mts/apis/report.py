"""Results as a page that needs nothing but itself, and perhaps the video beside it."""

from __future__ import annotations

import base64
import hashlib
import os
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import quote

import cv2
import jinja2
import numpy as np

from ..datasets.video import VideoReader, VideoReadError
from ..structures import Segments, pairwise_tiou
from ..utils.io import atomic_write
from ..visualization import MATCH_TIOU, class_color, shrink_image
from .annotated_video import PREVIEW_SUFFIX, is_playable, write_preview
from .writers import ResultWriter, Selection, VideoResult

_TEMPLATES = Path(__file__).parent / 'templates'
# The slider reaches down to this score, if the detections are not too many.
_WEAKEST = 0.05
_MAX_SEGMENTS = 500
_MAX_THUMBNAILS = 120
_THUMBNAIL_HEIGHT = 72


class HtmlReportWriter(ResultWriter):
    """One HTML file: the video, a timeline per class, and a table.

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
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        weakest = min(self.selection.score_thr, _WEAKEST)
        shown = Selection(weakest, _MAX_SEGMENTS, self.selection.classes)(result)
        source, embedded, first_frame_s = self._video(shown, path)
        data = _data(shown, self.selection.score_thr)
        page = _render(
            name=shown.video_id,
            data=dict(data, first_frame=round(first_frame_s, 3)),
            source=source,
            embedded=embedded,
            warnings=shown.warnings,
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
            return relative_url(video, path.parent), None, first_frame_s
        embedded = base64.b64encode(video.read_bytes()).decode('ascii')
        if video != Path(result.path):
            video.unlink()
        return None, embedded, first_frame_s


def relative_url(target: Path, folder: Path) -> str:
    """Address of a file as seen from the folder of a page, quoted."""
    relative = os.path.relpath(target.resolve(), folder.resolve())
    # Quotes colons too: "a:b.mp4" is no scheme.
    return quote(Path(relative).as_posix())


def _data(result: VideoResult, score_thr: float) -> dict:
    """Everything that the script of the page works on."""
    found, truth = result.detections, result.ground_truth
    detections = _rows(found)
    matches = np.zeros(len(found)) if truth is None else _best_tiou(found, truth)
    pictures, thumbnails = _thumbnails(result)
    columns = (detections, found.scores.tolist(), matches.tolist(), thumbnails)
    for row, score, tiou, thumbs in zip(*columns, strict=True):
        row.update(score=round(score, 4), tiou=round(tiou, 3), thumbs=thumbs)
    used = {*found.labels.tolist(), *(() if truth is None else truth.labels.tolist())}
    return dict(
        duration=round(result.duration, 3),
        threshold=score_thr,
        match=MATCH_TIOU,
        classes={
            label: dict(name=result.classes[label], color=class_color(label))
            for label in sorted(used)
        },
        detections=detections,
        truth=None if truth is None else _rows(truth),
        pictures=pictures,
    )


def _rows(actions: Segments) -> list[dict[str, Any]]:
    return [
        dict(start=start, end=end, label=label)
        for (start, end), label in zip(
            np.round(actions.segments, 3).tolist(), actions.labels.tolist(), strict=True
        )
    ]


def _best_tiou(found: Segments, truth: Segments) -> np.ndarray:
    """(S,) highest tIoU of each detection with an action of its class."""
    tiou = pairwise_tiou(found.segments, truth.segments)
    same = found.labels[:, None] == truth.labels
    return np.where(same, tiou, 0.0).max(axis=1, initial=0.0)


def _thumbnails(result: VideoResult) -> tuple[list[str], list[list[int] | None]]:
    """JPEG pictures at the boundaries of the best detections.

    Returns:
        The pictures as data URLs; and per detection the indices of the pictures at
        its start and end, or None.
    """
    segments = result.detections.segments
    if result.path is None:
        return [], [None] * len(segments)
    # Boundaries that look the same share a picture.
    wanted: dict[float, int] = {}
    thumbnails: list[list[int] | None] = []
    for segment in np.round(segments, 1).tolist():
        if len({*wanted, *segment}) > _MAX_THUMBNAILS:
            thumbnails.append(None)
            continue
        thumbnails.append([wanted.setdefault(time, len(wanted)) for time in segment])
    pictures = [''] * len(wanted)
    with closing(VideoReader(result.path, 0)) as reader:
        # One by one, so that only one picture is held at its full size.
        for time in sorted(wanted):
            try:
                image = reader.at(time)
            except VideoReadError:  # a damaged end has no pictures
                break
            pictures[wanted[time]] = _jpeg_url(shrink_image(image, _THUMBNAIL_HEIGHT))
    return pictures, thumbnails


def _jpeg_url(image: np.ndarray) -> str:
    _, data = cv2.imencode('.jpg', image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 72])
    return 'data:image/jpeg;base64,' + base64.b64encode(data.tobytes()).decode('ascii')


def _render(**values: object) -> str:
    """Fills the template; only its own style and script may run in the page."""
    parts = {
        kind: (_TEMPLATES / f'report.{kind}').read_text(encoding='utf-8')
        for kind in ('html', 'css', 'js')
    }
    for kind in ('css', 'js'):
        digest = hashlib.sha256(parts[kind].encode()).digest()
        values[kind] = parts[kind]
        values[f'{kind}_hash'] = base64.b64encode(digest).decode()
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    return environment.from_string(parts['html']).render(**values)
