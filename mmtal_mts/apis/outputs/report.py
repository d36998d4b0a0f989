"""Results as a page that needs nothing but itself, and perhaps the video beside it."""

from __future__ import annotations

import base64
import hashlib
import os
from functools import lru_cache
from pathlib import Path
from urllib.parse import quote

import cv2
import jinja2
import numpy as np

from mmtal_mts.datasets.frame_grabber import grab_frames
from mmtal_mts.structures.segments import pairwise_tiou
from mmtal_mts.utils.io import atomic_write
from mmtal_mts.visualization.class_row import MATCH_TIOU, class_color
from mmtal_mts.visualization.film_strip import shrink_image

from .playable import is_playable, write_preview
from .result import Selection, VideoResult
from .writer import VIDEO_SUFFIXES, ResultWriter

_WEAKEST = 0.05
"""The slider reaches down to this score, if the detections are not too many."""
_MAX_SEGMENTS = 500
_MAX_THUMBNAILS = 120
_THUMBNAIL_HEIGHT = 72


class HtmlReportWriter(ResultWriter):
    """One HTML file: the video, a timeline per class, and a table.

    Detections below the threshold are in the page too, for its slider. The video is
    a part of the page if it is small, and else linked relative to it. What browsers
    cannot play is converted first.

    Args:
        selection (Selection): ``score_thr`` is where the slider stands at first.
        max_embedded (int): Largest video in bytes that becomes a part of the page.
    """

    suffix = '.html'

    def __init__(
        self, selection: Selection, max_embedded: int = 10 * 1024 * 1024
    ) -> None:
        super().__init__(selection)
        self.max_embedded = max_embedded

    def write(self, result: VideoResult, path: Path) -> None:
        """See :meth:`ResultWriter.write`."""
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        shown = self._shown(result)
        source, embedded, first_frame_s = self._video(shown, path)
        page = _render(
            name=shown.video_id,
            data=dict(self._data(shown), first_frame=round(first_frame_s, 3)),
            source=source,
            embedded=embedded,
            warnings=shown.warnings,
        )
        with atomic_write(path) as temporary:
            temporary.write_text(page, encoding='utf-8')

    def _shown(self, result: VideoResult) -> VideoResult:
        chosen = self.selection
        weakest = min(chosen.score_thr, _WEAKEST)
        return Selection(weakest, _MAX_SEGMENTS, chosen.classes)(result)

    def _video(
        self, result: VideoResult, path: Path
    ) -> tuple[str | None, str | None, float]:
        """The video that is shown.

        Returns:
            Address of a linked video; or the bytes of an embedded one, in base64; and
            when it shows the first frame.
        """
        if result.path is None:
            return None, None, 0.0
        video, first_frame_s = Path(result.path), result.first_frame_s
        if not is_playable(video):
            first_frame_s = 0.0
            video = path.with_name(f'{path.stem}{VIDEO_SUFFIXES[1]}')
            write_preview(result.path, video)
        if video.stat().st_size > self.max_embedded:
            return relative_url(video, path.parent), None, first_frame_s
        embedded = base64.b64encode(video.read_bytes()).decode('ascii')
        if video != Path(result.path):
            video.unlink()
        return None, embedded, first_frame_s

    def _data(self, result: VideoResult) -> dict:
        """Everything that the script of the page works on."""
        found, truth = result.detections, result.ground_truth
        matches = np.zeros(len(found))
        if truth is not None:
            for label in np.unique(found.labels):
                rows = found.labels == label
                tiou = pairwise_tiou(
                    found.segments[rows], truth.segments[truth.labels == label]
                )
                matches[rows] = tiou.max(axis=1, initial=0.0)
        pictures, thumbnails = self._thumbnails(result)
        used = set(found.labels.tolist())
        if truth is not None:
            used |= set(truth.labels.tolist())
        return dict(
            duration=round(result.duration, 3),
            threshold=self.selection.score_thr,
            match=MATCH_TIOU,
            classes={
                label: dict(name=result.classes[label], color=class_color(label))
                for label in sorted(used)
            },
            detections=[
                dict(
                    start=round(start, 3),
                    end=round(end, 3),
                    label=label,
                    score=round(score, 4),
                    tiou=round(tiou, 3),
                    thumbs=thumbs,
                )
                for (start, end), label, score, tiou, thumbs in zip(
                    found.segments.tolist(),
                    found.labels.tolist(),
                    found.scores.tolist(),
                    matches.tolist(),
                    thumbnails,
                )
            ],
            truth=None
            if truth is None
            else [
                dict(start=round(start, 3), end=round(end, 3), label=label)
                for (start, end), label in zip(
                    truth.segments.tolist(), truth.labels.tolist()
                )
            ],
            pictures=pictures,
        )

    @staticmethod
    def _thumbnails(result: VideoResult) -> tuple[list[str], list[list[int] | None]]:
        """JPEG pictures at the boundaries of the best detections.

        Returns:
            The pictures as data URLs; and per detection the indices of the pictures
            at its start and end, or None.
        """
        segments = result.detections.segments
        if result.path is None:
            return [], [None] * len(segments)
        # Boundaries that look the same share a picture.
        wanted: dict[float, int] = {}
        thumbnails: list[list[int] | None] = []
        for segment in np.round(segments, 1).tolist():
            new = {time for time in segment if time not in wanted}
            if len(wanted) + len(new) > _MAX_THUMBNAILS:
                thumbnails.append(None)
                continue
            thumbnails.append(
                [wanted.setdefault(time, len(wanted)) for time in segment]
            )
        pictures = [''] * len(wanted)
        for time, image in grab_frames(result.path, list(wanted)):
            pictures[wanted[time]] = _jpeg_url(shrink_image(image, _THUMBNAIL_HEIGHT))
        return pictures, thumbnails


def relative_url(target: Path, folder: Path) -> str:
    """Address of a file as seen from a folder.

    Args:
        target (Path): The file.
        folder (Path): Where the page lies.

    Returns:
        str: Relative, with special characters quoted.
    """
    relative = os.path.relpath(target.resolve(), folder.resolve())
    # Quotes colons too: "a:b.mp4" is no scheme.
    return quote(Path(relative).as_posix())


def _jpeg_url(image: np.ndarray) -> str:
    _, data = cv2.imencode('.jpg', image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 72])
    return 'data:image/jpeg;base64,' + base64.b64encode(data.tobytes()).decode('ascii')


@lru_cache(maxsize=1)
def _environment() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.PackageLoader('mmtal_mts.apis.outputs'),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
    )


def _render(**values: object) -> str:
    """Fills the template; only its own style and script may run in the page."""
    environment = _environment()
    parts = {
        name: environment.loader.get_source(environment, f'report.{name}')[0]
        for name in ('css', 'js')
    }
    hashes = {
        name: base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        for name, text in parts.items()
    }
    return environment.get_template('report.html').render(
        style=parts['css'],
        script=parts['js'],
        style_hash=hashes['css'],
        script_hash=hashes['js'],
        **values,
    )
