"""The visualizer of a runner."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from mmaction.registry import VISUALIZERS
from mmaction.structures import ActionDataSample
from mmengine.dist import master_only
from mmengine.visualization import Visualizer

from ..structures import Segments, frames_to_seconds
from .timeline import Timeline, clip_frames, render_timelines


@VISUALIZERS.register_module()
class TALVisualizer(Visualizer):
    """Draws windows with ground truth and detections on a time axis.

    The pictures go to every backend (files, TensorBoard, W&B, ...); the names of the
    classes come from the ``dataset_meta`` that a runner sets. For a PNG file without a
    runner there are :func:`render_timelines` and :func:`write_picture`.

    Args: see :class:`mmengine.visualization.Visualizer`.
    """

    @master_only
    def add_datasample(
        self,
        name: str,
        image: np.ndarray,
        data_sample: ActionDataSample | None = None,
        draw_gt: bool = True,
        draw_pred: bool = True,
        show: bool = False,
        wait_time: float = 0,
        step: int = 0,
        score_thr: float = 0.3,
    ) -> None:
        """Draws one window and hands the picture to the backends.

        Args:
            name: Name of the picture.
            image: See :func:`window_timeline`.
            data_sample: See :func:`window_timeline`.
            draw_gt: Whether to draw the ground truth.
            draw_pred: Whether to draw the detections.
            show: Whether to open a window with the picture.
            wait_time: Seconds until it closes; 0 waits for a key.
            step: Step that the backends write down.
            score_thr: Detections with lower scores are not drawn.
        """
        timeline = window_timeline(image, data_sample)
        if not draw_gt:
            timeline = replace(timeline, ground_truth=None)
        if not draw_pred:
            timeline = replace(timeline, detections=None, coarse=None)
        picture = render_timelines([timeline], self.dataset_meta['classes'], score_thr)
        self.add_image(name, picture, step)
        if show:
            self.show(picture, win_name=name, wait_time=wait_time)


def window_timeline(clip: np.ndarray, sample: ActionDataSample) -> Timeline:
    """Returns what is drawn of one window, in seconds since its first frame.

    Args:
        clip: (C, T, H, W) or features (C, T), see :func:`clip_frames`.
        sample: With the metainfo ``video_id``, ``window_offset`` and ``sample_fps``.
            ``gt_instances`` are in sampled frames of the window, ``pred_instances`` in
            seconds of the video: ``segments`` (S, 2), ``scores`` (S,), ``labels``
            (S,), and, where they are known, ``coarse_segments`` (S, 2) from before the
            refinement.
    """
    fps, truth, found, coarse = sample.sample_fps, None, None, None
    offset_s = frames_to_seconds(sample.window_offset, fps)
    if 'gt_instances' in sample:
        actions = sample.gt_instances.cpu().numpy()
        truth = Segments(frames_to_seconds(actions.segments, fps), actions.labels)
    if 'pred_instances' in sample:
        preds = sample.pred_instances.cpu().numpy()
        found = Segments(preds.segments - offset_s, preds.labels, preds.scores)
        if 'coarse_segments' in preds:
            coarse = preds.coarse_segments - offset_s
    name = f'{sample.video_id}, from {offset_s:.1f} s'
    length_s = float(frames_to_seconds(clip.shape[1], fps))
    return Timeline(name, length_s, found, truth, clip_frames(clip, fps), coarse)
