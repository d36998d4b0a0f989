"""Results as a page that needs nothing but itself, and perhaps the video beside it."""

from __future__ import annotations

import base64
import hashlib
import os
from pathlib import Path
from typing import Any
from urllib.parse import quote

import cv2
import jinja2
import numpy as np
import pandas as pd

from ..structures import Segments, pairwise_tiou
from ..utils.io import atomic_write
from ..visualization import MATCH_TIOU, class_color
from .annotated_video import PREVIEW_SUFFIX, is_playable, write_preview
from .writers import Selection, VideoResult, read_pictures

_TEMPLATES = Path(__file__).parent / 'templates'
# The slider reaches down to this score, if the detections are not too many.
_WEAKEST = 0.05
_MAX_SEGMENTS = 500
_MAX_THUMBNAILS = 120
_THUMBNAIL_HEIGHT = 72


def write_report(
    result: VideoResult,
    path: Path,
    selection: Selection,
    max_embedded: int = 10 * 1024 * 1024,
) -> None:
    """Writes one HTML file: the video, a timeline per class, and a table.

    Detections below the threshold are in the page too, for its slider. The video is
    a part of the page if it is small, and else linked relative to it. What browsers
    cannot play is converted first.

    Args:
        result: Of one video.
        path: File to write; missing folders are made.
        selection: ``score_thr`` is where the slider stands at first.
        max_embedded: Largest video in bytes that becomes a part of the page.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    weakest = min(selection.score_thr, _WEAKEST)
    shown = Selection(weakest, _MAX_SEGMENTS, selection.classes)(result)
    source = embedded = None
    data, video = _data(shown), shown.path and Path(shown.path)
    if video and not is_playable(video):
        video = path.with_name(f'{path.stem}{PREVIEW_SUFFIX}')
        write_preview(shown.path, video)
        data['first_frame'] = 0.0
    if video and video.stat().st_size > max_embedded:
        relative = os.path.relpath(video.resolve(), path.parent.resolve())
        # Quotes colons too: "a:b.mp4" is no scheme.
        source = quote(Path(relative).as_posix())
    elif video:
        embedded = _base64(video.read_bytes())
        if video != Path(shown.path):
            video.unlink()
    values = dict(source=source, embedded=embedded, warnings=shown.warnings)
    values.update(name=shown.video_id, data=dict(data, threshold=selection.score_thr))
    for kind in ('html', 'css', 'js'):
        values[kind] = (_TEMPLATES / f'report.{kind}').read_text(encoding='utf-8')
        # Only its own style and script may run in the page.
        digest = hashlib.sha256(values[kind].encode()).digest()
        values[f'{kind}_hash'] = _base64(digest)
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    page = environment.from_string(values['html']).render(values)
    with atomic_write(path) as temporary:
        temporary.write_text(page, encoding='utf-8')


def _data(shown: VideoResult) -> dict[str, Any]:
    """Everything that the script of the page works on."""
    found, truth = shown.detections, shown.ground_truth or Segments.empty()
    same = found.labels[:, None] == truth.labels
    tiou = np.where(same, pairwise_tiou(found.segments, truth.segments), 0.0)
    # Boundaries that look the same share a picture.
    times = np.round(found.segments, 1).tolist() if shown.path else [()] * len(found)
    wanted = list(dict.fromkeys(time for pair in times for time in pair))
    places = {time: i for i, time in enumerate(wanted[:_MAX_THUMBNAILS])}
    thumbs = [[places[t] for t in pair if {*pair} <= places.keys()] for pair in times]
    pictures = read_pictures(shown.path, places, _THUMBNAIL_HEIGHT) if places else {}
    best = np.round(tiou.max(axis=1, initial=0.0), 3)
    columns = dict(score=np.round(found.scores, 4), tiou=best, thumbs=thumbs)
    return dict(
        duration=round(shown.duration, 3),
        first_frame=round(shown.first_frame_s, 3),
        match=MATCH_TIOU,
        classes={
            label: dict(name=shown.classes[label], color=class_color(label))
            for label in sorted({*found.labels.tolist(), *truth.labels.tolist()})
        },
        detections=_rows(found, **columns),
        truth=None if shown.ground_truth is None else _rows(truth),
        # By annotated action, which detections find it.
        hits=[np.flatnonzero(column >= MATCH_TIOU).tolist() for column in tiou.T],
        # '' where a damaged file has none.
        pictures=[_jpeg_url(pictures[t]) if t in pictures else '' for t in places],
    )


def _rows(actions: Segments, **columns: Any) -> list[dict[str, Any]]:
    """Actions, and what else is known of each of them."""
    start, end = np.round(actions.segments, 3).T
    table = pd.DataFrame(dict(start=start, end=end, label=actions.labels, **columns))
    return table.to_dict('records')


def _jpeg_url(image: np.ndarray) -> str:
    quality = [cv2.IMWRITE_JPEG_QUALITY, 72]
    jpeg = cv2.imencode('.jpg', image[..., ::-1], quality)[1].tobytes()
    return f'data:image/jpeg;base64,{_base64(jpeg)}'


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode('ascii')
