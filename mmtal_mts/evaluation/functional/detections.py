"""Files of detections: JSON of videos, and NPZ of windows before they are merged."""

from __future__ import annotations

import json
import logging
import os
import zipfile
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
from mmengine.logging import print_log

from ...structures import Segments
from ...utils.io import atomic_write, read_json
from .post_processing import join_videos

UNKNOWN_LABEL = -1
"""Label index of a detection whose class name is not in the class list."""


def warn_of(names: Collection[str], problem: str, limit: int = 5) -> None:
    """Logs how many have a problem, and the first of them, if there is any."""
    if names:
        more = f' and {len(names) - limit} more' if len(names) > limit else ''
        text = f'{len(names)} {problem}: {", ".join(list(names)[:limit])}{more}'
        print_log(text, logger='current', level=logging.WARNING)


def dump_detections(
    path: str | os.PathLike, detections: Mapping[str, Segments], classes: Sequence[str]
) -> None:
    """Writes detections in the format of the ActivityNet challenge.

    ``{"version": ..., "results": {VIDEO_ID: [{"label": name, "score": x,
    "segment": [start_s, end_s]}]}, "external_data": {}}``; nothing is rounded. The
    file appears whole or not at all.

    Args:
        path: File to write; missing folders are made.
        detections: By video id, in seconds.
        classes: Names of the labels 0..K-1.
    """
    results = {}
    for name, found in detections.items():
        columns = (found.labels, found.scores, found.segments)
        rows = zip(*(column.tolist() for column in columns), strict=True)
        results[name] = [
            {'label': classes[label], 'score': score, 'segment': segment}
            for label, score, segment in rows
        ]
    content = {'version': 'VERSION 1.3', 'results': results, 'external_data': {}}
    with atomic_write(path) as temporary:
        # Compact: a data set has hundreds of thousands of detections.
        temporary.write_text(json.dumps(content), encoding='utf-8')


def load_detections(
    path: str | os.PathLike, classes: Sequence[str]
) -> dict[str, Segments]:
    """Reads detections in the format of the ActivityNet challenge.

    Args:
        path: File as :func:`dump_detections` writes it, or that compressed with gzip.
        classes: Names of the labels 0..K-1. A detection of another class gets
            ``UNKNOWN_LABEL``, and a warning is logged.

    Returns:
        Detections in seconds by video id, in the order of the file.

    Raises:
        ValueError: The file is missing or not JSON, or an entry is not a detection.
    """
    content = read_json(path)
    if not isinstance(content, dict) or not isinstance(content.get('results'), dict):
        raise ValueError(
            f"{path}: expected an object with the field 'results': {{VIDEO_ID: "
            "[{'label', 'score', 'segment'}]}, as the test metric writes it"
        )
    index = {name: label for label, name in enumerate(classes)}
    unknown: Counter[str] = Counter()
    videos = {}
    for video_id, entries in content['results'].items():
        if not isinstance(entries, list):
            raise ValueError(f'{path}: results of video {video_id} are not a list')
        rows = []
        for position, entry in enumerate(entries):
            try:
                start, end = entry['segment']
                label = index.get(entry['label'], UNKNOWN_LABEL)
                rows.append((float(start), float(end), label, float(entry['score'])))
                if label == UNKNOWN_LABEL:
                    unknown[entry['label']] += 1
            except (KeyError, TypeError, ValueError) as error:
                raise ValueError(
                    f'{path}: detection {position} of video {video_id} is {entry!r}; '
                    "expected {'label': name, 'score': number, 'segment': [start, end]}"
                ) from error
        table = np.array(rows, dtype=np.float64).reshape(-1, 4)
        videos[video_id] = Segments(table[:, :2], table[:, 2], table[:, 3])
    text = f'classes of {path} are unknown to the annotation, their {unknown.total()}'
    warn_of(unknown, f'{text} detections are left out')
    return videos


def dump_windows(
    path: str | os.PathLike,
    videos: Mapping[str, Segments],
    durations_s: Mapping[str, float | None],
    classes: Sequence[str],
) -> None:
    """Writes the detections of windows to an NPZ file, whole or not at all.

    Args:
        path: File to write.
        videos: Detections of all windows of a video, by video id.
        durations_s: Lengths of these videos; None where it is not known.
        classes: Names of the labels 0..K-1.
    """
    found, video = join_videos(videos)
    with atomic_write(path) as temporary, open(temporary, 'wb') as file:
        np.savez_compressed(
            file,
            classes=np.array(list(classes), dtype=str),
            video_ids=np.array(list(videos), dtype=str),
            # None becomes NaN.
            durations=np.array([durations_s[name] for name in videos], dtype=float),
            video=video,
            **vars(found),
        )


def load_windows(
    path: str | os.PathLike,
) -> tuple[dict[str, Segments], dict[str, float | None], tuple[str, ...]]:
    """Reads what :func:`dump_windows` wrote.

    Args:
        path: NPZ file.

    Returns:
        Detections and durations by video id, and the class names.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is not such a file.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f'{path}: no such file of raw detections')
    try:
        with np.load(path, allow_pickle=False) as arrays:
            found = Segments(*(arrays[key] for key in ('segments', 'labels', 'scores')))
            keys = ('classes', 'video_ids', 'durations', 'video')
            classes, ids, durations, video = (arrays[key].tolist() for key in keys)
    except (ValueError, KeyError, OSError, TypeError, zipfile.BadZipFile) as error:
        raise ValueError(
            f'{path}: not a file of raw detections, as the test metric writes it with '
            'test_evaluator.windows_path=FILE.npz (the pickle of tools/test.py --dump '
            'is not read)'
        ) from error
    bounds = np.searchsorted(video, np.arange(len(ids) + 1)).tolist()
    parts = (found[first:last] for first, last in pairwise(bounds))
    # Only NaN differs from itself.
    known = (None if value != value else value for value in durations)
    pairs = (dict(zip(ids, values, strict=True)) for values in (parts, known))
    return *pairs, tuple(classes)
