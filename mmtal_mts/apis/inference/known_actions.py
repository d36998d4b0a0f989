"""Ground truth to be shown beside detections."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np

from mmtal_mts.apis.outputs import GroundTruth, VideoResult
from mmtal_mts.structures.annotations import load_annotations


class KnownActions:
    """The annotated actions of videos, by video id or file name.

    Args:
        ann_file (str | os.PathLike): Native annotation file. Its classes need not be
            those of the model.

    Raises:
        AnnotationError: If the file is invalid. Segments that reach out of their
            video are cut.
    """

    def __init__(self, ann_file: str | os.PathLike) -> None:
        annotations = load_annotations(os.fspath(ann_file), on_invalid='clamp')
        self._classes = annotations.classes
        self._videos = dict(annotations.videos)
        for video in annotations.videos.values():
            if video.file:
                self._videos.setdefault(Path(video.file).name, video)

    def add_to(self, result: VideoResult) -> VideoResult:
        """Adds the annotated actions to a result.

        Args:
            result (VideoResult): Without ground truth.

        Returns:
            VideoResult: With it, and with the classes that only the ground truth has
            behind those of the model. Unchanged if the video is not annotated.
        """
        names = [result.video_id]
        if result.path is not None:
            path = Path(result.path)
            names += [path.stem, path.name]
        found = (self._videos[name] for name in names if name in self._videos)
        video = next(found, None)
        if video is None:
            return result
        extra = [name for name in self._classes if name not in result.classes]
        classes = (*result.classes, *extra)
        labels = np.array([classes.index(name) for name in self._classes])
        truth = GroundTruth(video.segments, labels[video.labels])
        return replace(result, classes=classes, ground_truth=truth)
