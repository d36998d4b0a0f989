"""Checks of each video's entry by itself."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mmtal_mts.structures.annotations import parse_entry

from .findings import Findings
from .settings import WindowSettings

# Seconds; only absorbs the rounding of floats, as in the loader.
_EPSILON_S = 1e-6
# Frames by which conventions (counting from 0 or 1, rounding) may differ.
_FRAME_TOLERANCE = 1.5
# With room for rounding: 0.2 s at 10 fps are two.
_MIN_FRAMES = 2.0 - 1e-6


@dataclass
class CheckedVideo:
    """The usable part of a video's entry.

    Attributes:
        video_id (str): Its key.
        subset (str): '' if the file names none.
        duration (float, optional): Seconds.
        fps (float, optional): As annotated.
        file (str, optional): As annotated.
        segments (np.ndarray): (G, 2) seconds, of positive length, cut to the video.
        labels (list[str]): G class names.
        indices (list[int]): G positions in "annotations".
        num_annotations (int): All annotations, usable or not.
    """

    video_id: str
    subset: str
    duration: float | None
    fps: float | None
    file: str | None
    segments: np.ndarray
    labels: list[str]
    indices: list[int]
    num_annotations: int


class EntryChecker:
    """Checks entries one at a time.

    Args:
        classes (Sequence[str]): Class names.
        windows (WindowSettings): How videos are sampled.
        findings (Findings): Gets the problems.
    """

    def __init__(
        self, classes: Sequence[str], windows: WindowSettings, findings: Findings
    ) -> None:
        self.classes = tuple(classes)
        self.windows = windows
        self.findings = findings

    def check(self, video_id: str, entry: Any) -> CheckedVideo:
        """Checks one entry.

        Args:
            video_id (str): Key of the video.
            entry (Any): Its value, whatever it is.

        Returns:
            CheckedVideo: What is left for the other checks.
        """
        items = entry.get('annotations') if isinstance(entry, dict) else None
        video, found = parse_entry(video_id, entry, self.classes, 'clamp')
        self.findings.extend(found)
        if video.duration is None and all(f.index is not None for f in found):
            self.findings.add('no-duration', video_id, None, video_id)
        unusable = {f.index for f in found if f.outcome in ('error', 'dropped')}
        count = len(items) if isinstance(items, list) else 0
        indices = [index for index in range(count) if index not in unusable]
        sample_fps = self.windows.sample_fps
        if video.duration is not None:
            sample_fps, _ = self.windows.sampling(video.duration)
        labels = [items[index]['label'] for index in indices]
        for index, (start, end) in zip(indices, video.actions.segments.tolist()):
            frames = (end - start) * sample_fps
            if frames < _MIN_FRAMES:
                where = f'{video_id} [{start:g}, {end:g}] {items[index]["label"]}'
                self.findings.add(
                    'too-short',
                    video_id,
                    index,
                    f'{where}: {frames:.2f} sampled frames',
                    weight=-frames,
                )
        checked = CheckedVideo(
            video_id,
            video.subset,
            video.duration,
            video.fps,
            video.file,
            video.actions.segments,
            labels,
            indices,
            count,
        )
        if isinstance(items, list):
            self._check_repetitions(checked, items)
            self._check_frames(checked, items)
        return checked

    def _check_repetitions(self, video: CheckedVideo, items: list[Any]) -> None:
        """Finds segments that stand there twice, with the same label or another."""
        seen: dict[tuple[float, ...], list[str]] = defaultdict(list)
        for label, index in zip(video.labels, video.indices):
            # As they stand in the file; cutting makes different ones alike.
            segment = tuple(float(value) for value in items[index]['segment'])
            others = seen[segment]
            where = f'{video.video_id} [{segment[0]:g}, {segment[1]:g}] {label}'
            if label in others:
                self.findings.add('duplicate', video.video_id, index, where, label)
                continue
            for other in others:
                pair = ' + '.join(sorted((label, other)))
                self.findings.add('double-label', video.video_id, index, where, pair)
            others.append(label)

    def _check_frames(self, video: CheckedVideo, items: list[Any]) -> None:
        """Compares "segment(frames)", where the file has it, with the seconds."""
        if video.fps is None:
            return
        seconds, frames = [], []
        for index in video.indices:
            pair = items[index].get('segment(frames)')
            if isinstance(pair, list) and len(pair) == 2:
                seconds.append(items[index]['segment'])
                frames.append(pair)
        try:
            seconds_s = np.array(seconds, dtype=np.float64).reshape(-1, 2)
            given_f = np.array(frames, dtype=np.float64).reshape(-1, 2)
        except (TypeError, ValueError):
            self.findings.add(
                'malformed',
                video.video_id,
                None,
                f'{video.video_id}: "segment(frames)" must be two numbers',
            )
            return
        off_f = given_f - seconds_s * video.fps
        # Counting from 1 moves all frames alike.
        wrong = np.abs(off_f).max(axis=1, initial=0.0) > _FRAME_TOLERANCE
        if not wrong.any():
            return
        worst = off_f.flat[np.abs(off_f).argmax()]
        rate = np.median(given_f[wrong, 1] / seconds_s[wrong, 1])
        self.findings.add(
            'fps-contradiction',
            video.video_id,
            None,
            f'{video.video_id}: {wrong.sum()} of {len(wrong)} actions up to '
            f'{abs(worst):.0f} frames = {abs(worst) / video.fps:.2f} s '
            f'{"late" if worst > 0 else "early"}: "fps" is {video.fps:g}, the frame '
            f'columns were made with {rate:.2f}',
            weight=abs(worst) / video.fps,
        )
