"""A page for each held-out video: what was found beside what is annotated."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Union

import numpy as np

from mmtal_mts.apis.inference import find_videos
from mmtal_mts.apis.inference.known_actions import KnownActions
from mmtal_mts.apis.outputs import HtmlReportWriter, Selection, VideoResult
from mmtal_mts.datasets.video_stream import VideoStream
from mmtal_mts.evaluation.functional.detections import Detections, load_detections
from mmtal_mts.structures.annotations import load_annotations
from mmtal_mts.utils.errors import error_message

_USUAL_THRESHOLD = Selection().score_thr

PathLike = Union[str, os.PathLike]


def write_held_out_reports(
    ann_file: PathLike,
    detection_file: PathLike,
    video_dir: PathLike,
    out_dir: PathLike,
    subset: str,
    say: Callable[[str], None] = print,
) -> list[Path]:
    """Write the page of ``tools/infer.py`` for each video of a subset.

    The detections are those of the test, so nothing is computed again. Sliders stand
    where as many detections are left as there are annotated actions, because scores
    depend on how long a model was trained. A video that cannot be shown does not stop
    the others.

    Args:
        ann_file (str | os.PathLike): Native annotation with file and duration of each
            video, as :func:`.measure_videos` leaves it.
        detection_file (str | os.PathLike): Detections that the test metric wrote.
        video_dir (str | os.PathLike): Folder of the videos.
        out_dir (str | os.PathLike): Folder of the pages.
        subset (str): Of the annotation.
        say (Callable[[str], None]): Gets a line for each video that fails.

    Returns:
        list[Path]: The pages, in the order of the annotation.
    """
    annotations = load_annotations(
        os.fspath(ann_file), subsets=subset, on_invalid='clamp'
    )
    detections = load_detections(detection_file, annotations.classes)
    known = KnownActions(ann_file)
    found = [detections[name] for name in annotations.videos if name in detections]
    wanted = sum(len(video.segments) for video in annotations.videos.values())
    writer = HtmlReportWriter(Selection(_break_even(found, wanted)))
    files = {
        os.path.join(video_dir, video.file): video
        for video in annotations.videos.values()
    }
    pages = []
    for item in find_videos(list(files)):
        video = files[item.path]
        page = Path(out_dir) / f'{item.name}{writer.suffix}'
        try:
            result = VideoResult(
                video.video_id,
                detections.get(video.video_id, Detections.concatenate([])),
                annotations.classes,
                video.duration,
                item.path,
                first_frame_s=VideoStream(item.path).first_frame_s,
            )
            writer.write(known.add_to(result), page)
        # Whatever is wrong with this video, the next one may be fine.
        except Exception as error:
            say(f'no report of {video.video_id}: {error_message(error)}')
            continue
        pages.append(page)
    return pages


def _break_even(detections: Iterable[Detections], count: int) -> float:
    """The score that ``count`` detections reach, rounded down to the slider's steps."""
    scores = Detections.concatenate(list(detections)).scores
    if not len(scores) or not count:
        return _USUAL_THRESHOLD
    best = np.sort(scores)[::-1][:count]
    return math.floor(100 * min(float(best[-1]), 1.0)) / 100
