"""The visualizer of a runner."""

from __future__ import annotations

import numpy as np
from mmaction.registry import VISUALIZERS
from mmaction.structures import ActionDataSample
from mmengine.dist import master_only
from mmengine.visualization import Visualizer

from ..structures import Segments, frames_to_seconds
from .film_strip import clip_frames
from .timeline import Timeline, render_timelines


@VISUALIZERS.register_module()
class TALVisualizer(Visualizer):
    """Draws windows with ground truth and detections on a time axis.

    The pictures go to every backend (files, TensorBoard, W&B, ...); the names of the
    classes come from the ``dataset_meta`` that a runner sets. For a PNG file without a
    runner there is :func:`mmtal_mts.visualization.draw_timelines`.

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
            image: Clip (C, T, H, W) uint8 or features (C, T), see
                :func:`.clip_frames`.
            data_sample: With the metainfo ``video_id``, ``window_offset`` and
                ``sample_fps``, with ``gt_instances`` in sampled frames of the window,
                and with ``pred_instances`` in seconds of the video: ``segments``
                (S, 2), ``scores`` (S,), ``labels`` (S,), and, where they are known,
                ``coarse_segments`` (S, 2) from before the refinement.
            draw_gt: Whether to draw the ground truth.
            draw_pred: Whether to draw the detections.
            show: Whether to open a window with the picture.
            wait_time: Seconds until it closes; 0 waits for a key.
            step: Step that the backends write down.
            score_thr: Detections with lower scores are not drawn.
        """
        sample, fps = data_sample, data_sample.sample_fps
        offset_s = frames_to_seconds(sample.window_offset, fps)
        truth = detections = coarse = None
        if draw_gt and 'gt_instances' in sample:
            instances = sample.gt_instances.cpu().numpy()
            segments = frames_to_seconds(instances.segments, fps)
            truth = Segments(segments, instances.labels)
        if draw_pred and 'pred_instances' in sample:
            instances = sample.pred_instances.cpu().numpy()
            detections = Segments(
                instances.segments - offset_s, instances.labels, instances.scores
            )
            if 'coarse_segments' in instances:
                coarse = instances.coarse_segments - offset_s
        timeline = Timeline(
            f'{sample.video_id}, from {offset_s:.1f} s',
            float(frames_to_seconds(image.shape[1], fps)),
            detections,
            truth,
            clip_frames(image, fps),
            coarse,
        )
        picture = render_timelines([timeline], self.dataset_meta['classes'], score_thr)
        self.add_image(name, picture, step)
        if show:
            self.show(picture, win_name=name, wait_time=wait_time)
