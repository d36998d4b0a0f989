"""What a training can see of the actions: its windows and pyramid locations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from mmtal_mts.datasets.windows import training_windows
from mmtal_mts.models.task_modules import SegmentPointGenerator
from mmtal_mts.models.task_modules import SegmentAssigner
from mmtal_mts.structures.timebase import seconds_to_frames

from .findings import Findings
from .segments import CheckedVideo
from .settings import WindowSettings


@dataclass
class Coverage:
    """What the windows hold of each action, over all videos.

    Attributes:
        subsets (list[str]): Per action, its subset.
        lengths_f (np.ndarray): (A,) length in sampled frames.
        num_windows (np.ndarray): (A,) kept windows that are annotated with it.
        num_inside (np.ndarray): (A, L) locations of each level inside it, in the
            window where they are most.
        num_assigned (np.ndarray): (A,) locations that are trained on it, in the window
            where they are most.
        kept_windows (dict[str, int]): Kept windows by subset.
    """

    subsets: list[str]
    lengths_f: np.ndarray
    num_windows: np.ndarray
    num_inside: np.ndarray
    num_assigned: np.ndarray
    kept_windows: dict[str, int]


class CoverageChecker:
    """Cuts videos as a training does and follows every action.

    Args:
        settings (WindowSettings): Of the training.
        findings (Findings): Gets the problems.
    """

    def __init__(self, settings: WindowSettings, findings: Findings) -> None:
        self.settings = settings
        self.findings = findings
        self._points = SegmentPointGenerator().level_points(
            settings.level_lengths, settings.clip_len
        )
        self._assigner = SegmentAssigner()

    def check(self, videos: Sequence[CheckedVideo]) -> Coverage:
        """Checks all videos that have a duration.

        Args:
            videos (Sequence[CheckedVideo]): From the check of the entries.

        Returns:
            Coverage: Numbers for each action.
        """
        parts, subsets, kept = [], [], {}
        for video in videos:
            if video.duration is None:
                continue
            part, num_windows = self._check_video(video)
            parts.append(part)
            subsets += [video.subset] * len(part)
            kept[video.subset] = kept.get(video.subset, 0) + num_windows
        num_levels = self.settings.num_levels
        table = np.concatenate([np.zeros((0, 3 + num_levels)), *parts])
        return Coverage(
            subsets,
            lengths_f=table[:, 0],
            num_windows=table[:, 1].astype(int),
            num_assigned=table[:, 2].astype(int),
            num_inside=table[:, 3:].astype(int),
            kept_windows=kept,
        )

    def _check_video(self, video: CheckedVideo) -> tuple[np.ndarray, int]:
        """Returns a row (length, windows, assigned, inside...) per action."""
        settings = self.settings
        sample_fps, num_frames = settings.sampling(video.duration)
        segments = np.clip(seconds_to_frames(video.segments, sample_fps), 0, num_frames)
        table = np.zeros((len(segments), 3 + settings.num_levels))
        table[:, 0] = np.diff(segments)[:, 0]
        # Those in the last, incomplete sampling interval vanish in the data set too.
        usable = np.flatnonzero(table[:, 0] > 0)
        windows = training_windows(
            num_frames,
            segments[usable],
            settings.clip_len,
            settings.stride,
            one_based_window=settings.one_based_window,
        )
        for window in windows:
            rows = usable[window.indices]
            inside, assigned = self._count_locations(window.segments)
            table[rows, 1] += 1
            table[rows, 2] = np.maximum(table[rows, 2], assigned)
            table[rows, 3:] = np.maximum(table[rows, 3:], inside)
        self._report(video, table, len(windows))
        return table, len(windows)

    def _count_locations(self, segments: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Counts the locations inside (G, L) and assigned to (G,) each action."""
        inside = np.stack(
            [
                (
                    (points.numpy() >= segments[:, :1])
                    & (points.numpy() <= segments[:, 1:])
                ).sum(axis=1)
                for points in self._points
            ],
            axis=1,
        )
        count = len(segments)
        # The actions themselves as classes: the answer names the action.
        owner, _ = self._assigner.assign(
            self._points, torch.from_numpy(segments), torch.arange(count), count
        )
        assigned = np.bincount(owner.numpy(), minlength=count + 1)[:count]
        return inside, assigned

    def _report(self, video: CheckedVideo, table: np.ndarray, num_windows: int) -> None:
        if len(table) and not num_windows:
            self.findings.add(
                'no-window',
                video.video_id,
                None,
                f'{video.video_id}: {len(table)} actions',
                video.subset,
            )
        for row, segment, label, index in zip(
            table, video.segments, video.labels, video.indices
        ):
            where = f'{video.video_id} [{segment[0]:g}, {segment[1]:g}] {label}'
            length = f'{row[0]:.1f} sampled frames'
            if row[1] == 0:
                kind, message = 'uncovered', f'{where}: {length}'
            elif row[3:].sum() == 0:
                kind, message = 'no-location', f'{where}: {length}'
            elif row[2] == 0:
                kind = 'shadowed'
                message = f'{where}: {int(row[3:].sum())} locations inside, 0 left'
            else:
                continue
            self.findings.add(
                kind, video.video_id, index, message, video.subset, weight=row[0]
            )
