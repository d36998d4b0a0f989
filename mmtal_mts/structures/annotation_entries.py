"""Checking the entries of an annotation file, one video at a time."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

# Seconds; only absorbs the rounding of floats, not a careless annotation.
_EPSILON_S = 1e-6


@dataclass
class VideoAnnotation:
    """Actions of one video.

    Attributes:
        video_id (str): Key of the video in the annotation file.
        subset (str): Subset of the video, '' if the file names none.
        duration (float, optional): Length in seconds.
        fps (float, optional): Frame rate that the file claims.
        file (str, optional): File name that the file claims.
        segments (np.ndarray): (G, 2) float64 start and end in seconds.
        labels (np.ndarray): (G,) int64 indices into the classes.
    """

    video_id: str
    subset: str
    duration: float | None
    fps: float | None
    file: str | None
    segments: np.ndarray
    labels: np.ndarray


def _to_number(value: Any) -> float | None:
    """Returns numbers and numeric strings as float, everything else as None."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        return float(value)
    except (ValueError, OverflowError):
        return None


class EntryParser:
    """Parses entries of the database and collects what is wrong with them.

    Args:
        classes (tuple[str]): Class names in label order.
        on_invalid (str): See
            :func:`mmtal_mts.structures.annotations.load_annotations`.
    """

    def __init__(self, classes: tuple[str, ...], on_invalid: str) -> None:
        self.label_of = {name: label for label, name in enumerate(classes)}
        self.on_invalid = on_invalid
        self.errors: list[str] = []
        self.repairs: list[str] = []

    def parse(self, video_id: str, entry: Any) -> VideoAnnotation:
        """Parses one video; problems go to ``errors`` or ``repairs``."""
        if not isinstance(entry, dict):
            self.errors.append(f'{video_id}: entry must be an object, got {entry!r}')
            entry = {'annotations': []}
        duration = self._positive(video_id, entry, 'duration')
        fps = self._positive(video_id, entry, 'fps')
        file = entry.get('file')
        if file is not None and (not isinstance(file, str) or not file):
            self.errors.append(f'{video_id}: "file" must be a name, got {file!r}')
        items = entry.get('annotations')
        if not isinstance(items, list):
            self.errors.append(
                f'{video_id}: "annotations" must be a list ([] for a '
                f'video without actions), got {items!r}'
            )
            items = []

        segments, labels = [], []
        for index, item in enumerate(items):
            parsed = self._annotation(
                f'{video_id}: annotations[{index}]', item, duration
            )
            if parsed is not None:
                segments.append(parsed[0])
                labels.append(parsed[1])
        return VideoAnnotation(
            video_id=video_id,
            subset=entry.get('subset') or '',
            duration=duration,
            fps=fps,
            file=file,
            segments=np.asarray(segments, dtype=np.float64).reshape(-1, 2),
            labels=np.asarray(labels, dtype=np.int64),
        )

    def _positive(self, video_id: str, entry: dict, key: str) -> float | None:
        if entry.get(key) is None:
            return None
        value = _to_number(entry[key])
        if value is None or not math.isfinite(value) or value <= 0:
            self.errors.append(
                f'{video_id}: "{key}" must be a positive number, got {entry[key]!r}'
            )
            return None
        return value

    def _annotation(self, where: str, item: Any, duration: float | None):
        """Returns ((start, end), label), or None for an unusable annotation."""
        segment = item.get('segment') if isinstance(item, dict) else None
        if not isinstance(segment, list) or len(segment) != 2:
            self.errors.append(
                f'{where}: "segment" must be [start, end] in seconds, got {segment!r}'
            )
            return None
        start, end = (_to_number(value) for value in segment)
        if start is None or end is None:
            self.errors.append(f'{where}: "segment" {segment!r} is not two numbers')
            return None
        label = item.get('label')
        if not isinstance(label, str):
            self.errors.append(f'{where}: "label" must be a name, got {label!r}')
            return None
        where = f'{where} ({label}) segment {segment}'
        if label not in self.label_of:
            return self._reject(
                f'{where}: label {label!r} is not among the '
                f'{len(self.label_of)} classes',
                droppable=self.on_invalid == 'drop',
            )
        # Written so that NaN fails too.
        if not (math.isfinite(start) and math.isfinite(end) and start < end):
            reason = f'{where}: end must be greater than start'
            if start == end and self.on_invalid == 'keep':
                self.repairs.append(f'{reason}, kept')
                return (start, end), self.label_of[label]
            return self._reject(reason)

        limit = math.inf if duration is None else duration
        if max(start, 0.0) >= min(end, limit) and self.on_invalid != 'keep':
            return self._reject(
                f'{where}: lies outside the video (duration {limit:g} s)'
            )
        if start < -_EPSILON_S or end > limit + _EPSILON_S:
            reason = (
                f'{where}: starts before 0'
                if start < -_EPSILON_S
                else f'{where}: ends {end - limit:.3f} s after the end of the video '
                f'(duration {limit:g} s)'
            )
            if self.on_invalid == 'keep':
                self.repairs.append(f'{reason}, kept')
                return (start, end), self.label_of[label]
            if self.on_invalid != 'clamp':
                return self._reject(reason)
            self.repairs.append(f'{reason}, clamped')
        return (max(start, 0.0), min(end, limit)), self.label_of[label]

    def _reject(self, reason: str, droppable: bool = True) -> None:
        if self.on_invalid in ('error', 'keep') or not droppable:
            self.errors.append(reason)
        else:
            self.repairs.append(f'{reason}, dropped')
