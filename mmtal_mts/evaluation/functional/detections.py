"""What was found in a video, and the JSON file it is exchanged in."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mmtal_mts.utils.io import atomic_write, read_text

UNKNOWN_LABEL = -1
"""Label index of a detection whose class name is not in the class list."""


@dataclass(frozen=True)
class Detections:
    """Detections of one window or one video.

    Attributes:
        segments (np.ndarray): (S, 2) float64, seconds of the video.
        scores (np.ndarray): (S,) float64.
        labels (np.ndarray): (S,) int64, 0..K-1, or `UNKNOWN_LABEL`.
    """

    segments: np.ndarray
    scores: np.ndarray
    labels: np.ndarray

    def __post_init__(self) -> None:
        """Bring the arrays to their dtypes and shapes."""
        segments = np.asarray(self.segments, dtype=np.float64).reshape(-1, 2)
        scores = np.asarray(self.scores, dtype=np.float64).reshape(-1)
        labels = np.asarray(self.labels, dtype=np.int64).reshape(-1)
        if not len(segments) == len(scores) == len(labels):
            raise ValueError(
                f'{len(segments)} segments, {len(scores)} scores and {len(labels)} '
                'labels: one of each is needed per detection'
            )
        # The class is frozen for its users; this is its constructor.
        object.__setattr__(self, 'segments', segments)
        object.__setattr__(self, 'scores', scores)
        object.__setattr__(self, 'labels', labels)

    def __len__(self) -> int:
        return len(self.scores)

    def __getitem__(self, index: np.ndarray) -> Detections:
        """The detections that a mask, a slice or positions select."""
        return Detections(self.segments[index], self.scores[index], self.labels[index])

    @classmethod
    def concatenate(cls, parts: Iterable[Detections]) -> Detections:
        """All detections of ``parts``, in order; none if there is no part."""
        parts = list(parts)
        if not parts:
            return cls(np.zeros((0, 2)), np.zeros(0), np.zeros(0))
        return cls(
            np.concatenate([part.segments for part in parts]),
            np.concatenate([part.scores for part in parts]),
            np.concatenate([part.labels for part in parts]),
        )


def dump_detections(
    path: str | os.PathLike,
    detections: Mapping[str, Detections],
    classes: Sequence[str],
) -> None:
    """Write detections in the format of the ActivityNet challenge.

    ``{"version": ..., "results": {VIDEO_ID: [{"label": name, "score": x,
    "segment": [start_s, end_s]}]}, "external_data": {}}``; nothing is rounded. The
    file appears whole or not at all.

    Args:
        path (str | os.PathLike): File to write; missing folders are made.
        detections (Mapping[str, Detections]): By video id.
        classes (Sequence[str]): Names of the labels 0..K-1.
    """
    results = {
        video_id: [
            {'label': classes[label], 'score': score, 'segment': segment}
            for label, score, segment in zip(
                found.labels.tolist(), found.scores.tolist(), found.segments.tolist()
            )
        ]
        for video_id, found in detections.items()
    }
    content = {'version': 'VERSION 1.3', 'results': results, 'external_data': {}}
    with (
        atomic_write(path) as temporary,
        open(temporary, 'w', encoding='utf-8') as file,
    ):
        json.dump(content, file)


def load_detections(
    path: str | os.PathLike, classes: Sequence[str]
) -> dict[str, Detections]:
    """Read detections in the format of the ActivityNet challenge.

    Args:
        path (str | os.PathLike): File as `dump_detections` writes it, or that
            compressed with gzip.
        classes (Sequence[str]): Names of the labels 0..K-1. A detection of another
            class gets `UNKNOWN_LABEL`; the evaluation counts and reports those.

    Returns:
        dict[str, Detections]: By video id, in the order of the file.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is not JSON or an entry is not a detection.
    """
    path = Path(path)
    index = {name: label for label, name in enumerate(classes)}
    return {
        video_id: _parse(path, video_id, entries, index)
        for video_id, entries in _read_results(path).items()
    }


def count_labels(path: str | os.PathLike) -> Counter[str]:
    """Count the detections of each class name in a file.

    Args:
        path (str | os.PathLike): As for :func:`load_detections`.

    Returns:
        Counter[str]: By class name.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is not a detection file.
    """
    return Counter(
        entry.get('label')
        for entries in _read_results(Path(path)).values()
        for entry in entries
    )


def _read_results(path: Path) -> dict[str, object]:
    """The field "results" of a detection file."""
    if not path.is_file():
        raise FileNotFoundError(f'{path}: no such detection file')
    try:
        content = json.loads(read_text(path))
    except ValueError as error:
        raise ValueError(f'{path}: not a JSON file ({error})') from error
    if not isinstance(content, dict) or not isinstance(content.get('results'), dict):
        raise ValueError(
            f"{path}: expected an object with the field 'results': {{VIDEO_ID: "
            "[{'label', 'score', 'segment'}]}, as the test metric writes it"
        )
    return content['results']


def _parse(
    path: Path, video_id: str, entries: object, index: Mapping[str, int]
) -> Detections:
    """The list of detections of one video."""
    if not isinstance(entries, list):
        raise ValueError(f'{path}: results of video {video_id} are not a list')
    segments, scores, labels = [], [], []
    for position, entry in enumerate(entries):
        try:
            start, end = entry['segment']
            segments.append((float(start), float(end)))
            scores.append(float(entry['score']))
            labels.append(index.get(entry['label'], UNKNOWN_LABEL))
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(
                f'{path}: detection {position} of video {video_id} is {entry!r}; '
                "expected {'label': name, 'score': number, 'segment': [start, end]}"
            ) from error
    return Detections(segments, scores, labels)
