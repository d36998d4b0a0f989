"""Draws what the detector finds in windows while it is validated or tested."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import torch
from mmaction.registry import HOOKS
from mmaction.structures import ActionDataSample
from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner
from mmengine.structures import InstanceData
from torch import nn

from ...ops import soft_nms_1d
from ...structures.timebase import window_to_video_s
from ...utils.errors import UserError
from ...visualization import TALVisualizer


@HOOKS.register_module()
class DetectionVisualizationHook(Hook):
    """Draws windows with an action: ground truth, coarse and refined boundaries.

    The pictures go to the runner's :class:`~mmtal_mts.visualization.TALVisualizer` and
    thereby to each of its backends, under the same names in each validation, so that
    they can be compared over the training. Duplicates of a detection are removed by
    soft-NMS within the window. The model is ``TALMTS`` or ``TwoStreamTALMTS``, whose
    ``keep_raw`` is set while it is watched.

    Args:
        interval: Draw every n-th window with an action.
        max_windows: Draw at most this many windows in each validation or test.
        score_thr: Detections with lower scores are not drawn.
        max_detections: Draw at most this many detections of a window, the best.
        sigma: Width of the soft-NMS.

    Raises:
        ValueError: A number is not positive.
    """

    def __init__(
        self,
        interval: int = 10,
        max_windows: int = 8,
        score_thr: float = 0.3,
        max_detections: int = 20,
        sigma: float = 0.5,
    ) -> None:
        self.interval, self.max_windows = interval, max_windows
        self.max_detections, self.sigma = max_detections, sigma
        for name, value in vars(self).items():
            if not value > 0:
                raise ValueError(
                    f'{name}={value} of DetectionVisualizationHook must be positive'
                )
        self.score_thr = score_thr

    def before_val(self, runner: Runner) -> None:
        """Lets the model keep its raw outputs."""
        model, visualizer = runner.model, runner.visualizer
        model = model.module if is_model_wrapper(model) else model
        name = f'{type(self).__name__} is in custom_hooks, but'
        if not hasattr(model, 'keep_raw'):
            raise UserError(
                f'{name} {type(model).__name__} keeps no raw outputs: remove the hook, '
                'or use it with TALMTS'
            )
        if not isinstance(visualizer, TALVisualizer):
            raise UserError(
                f'{name} the visualizer is {type(visualizer).__name__}. Remedy: '
                "visualizer = dict(type='TALVisualizer', vis_backends=vis_backends)"
            )
        self._model, self._kept_raw = model, model.keep_raw
        model.keep_raw = True
        self._num_seen = 0

    def after_val(self, runner: Runner) -> None:
        """Leaves the model as it was."""
        self._model.keep_raw = self._kept_raw

    before_test, after_test = before_val, after_val

    def _after_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: dict | None = None,
        outputs: Sequence[ActionDataSample] | dict | None = None,
        mode: str = 'train',
    ) -> None:
        """Draws windows of a batch."""
        if mode == 'train' or not is_main_process():
            return
        for clip, sample in zip(data_batch['inputs'], outputs, strict=True):
            if sample.get('broken', False) or not len(sample.gt_instances):
                continue
            num_drawn, rest = divmod(self._num_seen, self.interval)
            self._num_seen += 1
            if rest or num_drawn >= self.max_windows:
                continue
            shown = sample.clone()
            shown.pred_instances = self._detections(self._model, sample)
            # Video ids may hold anything; names are parts of paths in some backends.
            video = re.sub(r'[^\w.-]', '_', sample.video_id)
            name = f'{mode}_{video}_{sample.window_offset}'
            settings = dict(step=runner.iter, score_thr=self.score_thr)
            picture = np.asarray(clip.cpu())
            runner.visualizer.add_datasample(name, picture, shown, **settings)

    def _detections(self, model: nn.Module, sample: ActionDataSample) -> InstanceData:
        """The best detections of one window, in seconds of the video, by score."""
        raw = dict(sample.raw_outputs)
        num_frames = raw.pop('num_frames')
        raw = {key: raw[key] if key == 'points' else raw[key][None] for key in raw}
        head = getattr(model, 'rgb', model).refine_head
        with torch.autocast(raw['points'].device.type, enabled=False):
            both = head.decode(raw, num_frames)
            raw['refine_offsets'] = torch.zeros_like(raw['refine_offsets'])
            both += head.decode(raw, num_frames)
        refined, scores, coarse, _ = (value[0].cpu().numpy() for value in both)
        # Every class by itself: (K * P) segments in K groups.
        num_locations, num_classes = scores.shape
        labels = np.repeat(np.arange(num_classes), num_locations)
        segments, kept, rows = soft_nms_1d(
            np.tile(refined, (num_classes, 1)),
            scores.T.flatten(),
            labels,
            sigma=self.sigma,
            min_score=self.score_thr,
            max_keep=self.max_detections,
        )
        best = np.argsort(-kept, kind='stable')[: self.max_detections]
        rows, facts = rows[best], (sample.window_offset, sample.sample_fps)
        return InstanceData(
            segments=window_to_video_s(segments[best], *facts),
            coarse_segments=window_to_video_s(coarse[rows % num_locations], *facts),
            scores=kept[best],
            labels=labels[rows],
        )
