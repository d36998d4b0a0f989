"""From the annotation of a video to the items of a data set."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from mmtal_mts.structures.annotations import VideoAnnotation
from mmtal_mts.structures.timebase import seconds_to_frames

from .windows import shortest_action, testing_windows, training_windows


@dataclass
class WindowCutter:
    """Cuts videos into windows and counts what of the actions is in them.

    Attributes:
        clip_len (int): Length of a window in sampled frames.
        stride (int): Distance of windows in sampled frames.
        keep_ioa (float): See :func:`.training_windows`.
        min_ioa (float): See :func:`.training_windows`.
        one_based_window (bool): See :func:`.training_windows`.
        test_mode (bool): All windows of a video, not only those with actions.
        class_agnostic (bool): All labels become 0.
        num_segments (int): Actions of the videos so far.
        num_seen (int): Those that are in a window.
    """

    clip_len: int
    stride: int
    keep_ioa: float = 1.0
    min_ioa: float = 0.5
    one_based_window: bool = False
    test_mode: bool = False
    class_agnostic: bool = False
    num_segments: int = 0
    num_seen: int = 0

    def __call__(self, video: VideoAnnotation, facts: dict[str, Any]) -> list[dict]:
        """Cuts one video.

        Args:
            video (VideoAnnotation): Annotation.
            facts (dict): From :class:`.VideoSampling`.

        Returns:
            list[dict]: The facts, and what is particular to each window.
        """
        num_frames = facts['num_sampled_frames']
        start = facts.get('grid_start_f', 0)
        # The last, incomplete sampling interval is in no window; an action that ends
        # there ends with the last window.
        segments = np.clip(
            seconds_to_frames(video.actions.segments, facts['sample_fps']) - start,
            0,
            num_frames,
        )
        valid = segments[:, 1] > segments[:, 0]
        segments, labels = segments[valid], video.actions.labels[valid]
        if self.class_agnostic:
            labels = np.zeros_like(labels)
        layout = (num_frames, segments, self.clip_len, self.stride)
        if self.test_mode:
            windows = testing_windows(*layout, self.min_ioa)
        else:
            windows = training_windows(
                *layout, self.keep_ioa, self.min_ioa, self.one_based_window
            )
        shortest = shortest_action(*layout, self.min_ioa, self.one_based_window)
        seen = {index for window in windows for index in window.indices.tolist()}
        self.num_segments += len(video.actions.segments)
        self.num_seen += len(seen)
        return [
            dict(
                facts,
                window_offset=window.offset + start,
                min_segment_f=shortest,
                gt_segments=window.segments.astype(np.float32),
                gt_labels=labels[window.indices],
            )
            for window in windows
        ]

    def why_empty(self, num_videos: int, sample_fps: float) -> str:
        """Explains why there is no window.

        Args:
            num_videos (int): Videos that were asked for.
            sample_fps (float): Rate of sampling.

        Returns:
            str: Reason and remedy.
        """
        if self.num_segments:
            return (
                f'none of the {self.num_segments} actions fits into a window of '
                f'{self.clip_len} frames at {sample_fps:g} fps; raise clip_len, '
                'or lower keep_ioa or sample_fps'
            )
        if num_videos and not self.test_mode:
            return 'no action to train on in the videos that were found'
        return 'check subsets, filter_cfg and the paths of the videos'
