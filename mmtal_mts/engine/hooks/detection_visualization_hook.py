"""Draws what the detector finds in windows while it is validated or tested."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from mmaction.registry import HOOKS
from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner
from torch import Tensor, nn

from mmtal_mts.evaluation.functional.detections import Detections
from mmtal_mts.models.detectors.tal_mts import RawOutputs
from mmtal_mts.ops import soft_nms_1d
from mmtal_mts.utils.errors import UserError
from mmtal_mts.visualization import Timeline, clip_frames, render_timelines


class RefinedDetections(NamedTuple):
    """Detections of one window, and where they come from.

    Attributes:
        refined: In seconds from the start of the window, by descending score.
        coarse: (S, 2) the same before refinement.
    """

    refined: Detections
    coarse: np.ndarray


class _Truth(NamedTuple):
    """Ground truth of a window in seconds from its start."""

    segments: np.ndarray
    labels: np.ndarray


@HOOKS.register_module()
class DetectionVisualizationHook(Hook):
    """Draws windows with ground truth, coarse and refined boundaries.

    The pictures go to the visualizer of the runner and thereby to each of its
    backends (files, TensorBoard, W&B, ...), under the same names in each validation,
    so that they can be compared over the training. Duplicates of a detection are
    removed by soft-NMS within the window.

    Args:
        interval: Draw every so manyth window.
        max_windows: Draw at most so many windows in each validation or test.
        score_thr: Detections with lower scores are not drawn.
        max_detections: Draw at most so many detections of a window, the best.
        with_action_only: Skip windows without ground truth, which then don't count.
        sigma: Width of the soft-NMS.

    Raises:
        ValueError: If a number is not positive.
    """

    def __init__(
        self,
        interval: int = 10,
        max_windows: int = 8,
        score_thr: float = 0.3,
        max_detections: int = 20,
        with_action_only: bool = True,
        sigma: float = 0.5,
    ) -> None:
        for name, value in (
            ('interval', interval),
            ('max_windows', max_windows),
            ('max_detections', max_detections),
            ('sigma', sigma),
        ):
            if not value > 0:
                raise ValueError(
                    f'{name}={value} of DetectionVisualizationHook must be positive'
                )
        self.interval = interval
        self.max_windows = max_windows
        self.score_thr = score_thr
        self.max_detections = max_detections
        self.with_action_only = with_action_only
        self.sigma = sigma
        self._wanted: list[int] = []
        self._outputs: dict[str, Tensor] | None = None
        self._handle = None
        self._seen = self._drawn = 0

    def before_val(self, runner: Runner) -> None:
        """Listens to the network."""
        self._start(runner)

    def before_test(self, runner: Runner) -> None:
        """Listens to the network."""
        self._start(runner)

    def after_val(self, runner: Runner) -> None:
        """Stops listening."""
        self._stop()

    def after_test(self, runner: Runner) -> None:
        """Stops listening."""
        self._stop()

    def before_val_iter(
        self, runner: Runner, batch_idx: int, data_batch: dict | None = None
    ) -> None:
        """Chooses windows of the batch."""
        self._choose(data_batch)

    def before_test_iter(
        self, runner: Runner, batch_idx: int, data_batch: dict | None = None
    ) -> None:
        """Chooses windows of the batch."""
        self._choose(data_batch)

    def after_val_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: dict | None = None,
        outputs: Sequence[Any] | None = None,
    ) -> None:
        """Draws the chosen windows."""
        self._draw(runner, data_batch, runner.val_dataloader.dataset.metainfo, 'val')

    def after_test_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: dict | None = None,
        outputs: Sequence[Any] | None = None,
    ) -> None:
        """Draws the chosen windows."""
        self._draw(runner, data_batch, runner.test_dataloader.dataset.metainfo, 'test')

    def _start(self, runner: Runner) -> None:
        """Hooks into the refine head, which sees everything that is drawn."""
        self._stop()
        self._seen = self._drawn = 0
        model = _model(runner)
        if getattr(model, 'refine_head', None) is None:
            raise UserError(
                'DetectionVisualizationHook is in custom_hooks, but '
                f'{type(model).__name__} has no refine_head: remove the hook, or use '
                'it with TALMTS'
            )
        if is_main_process():
            self._handle = model.refine_head.register_forward_hook(self._keep)

    def _stop(self) -> None:
        """Leaves the network as it was."""
        if self._handle is not None:
            self._handle.remove()
        self._handle = self._outputs = None
        self._wanted = []

    def _keep(self, head: nn.Module, inputs: tuple, output: Any) -> None:
        """Keeps what the network says of a batch that has a chosen window."""
        if self._wanted:
            _, coarse, level_points, _ = inputs
            self._outputs = RawOutputs(level_points, coarse, output).as_dict()

    def _choose(self, data_batch: dict) -> None:
        """Notes which windows of a batch are to be drawn."""
        self._wanted, self._outputs = [], None
        if self._handle is None:
            return
        for index, sample in enumerate(data_batch['data_samples']):
            if sample.get('broken', False) or (
                self.with_action_only and not len(sample.gt_instances)
            ):
                continue
            if self._seen % self.interval == 0 and self._drawn < self.max_windows:
                self._wanted.append(index)
                self._drawn += 1
            self._seen += 1

    def _draw(
        self, runner: Runner, data_batch: dict, metainfo: dict, stage: str
    ) -> None:
        """Draws the chosen windows of a batch."""
        if not self._wanted:
            return
        decoder = _model(runner).decoder
        for index in self._wanted:
            sample = data_batch['data_samples'][index]
            clip = np.asarray(data_batch['inputs'][index].cpu())
            outputs = {
                # Locations are shared by the batch.
                key: value if key == 'points' else value[index : index + 1]
                for key, value in self._outputs.items()
            }
            found = self.detections(decoder, outputs, clip.shape[1], sample.sample_fps)
            offset_s = sample.window_offset / sample.sample_fps
            truth = sample.gt_instances
            timeline = Timeline(
                f'{sample.video_id}, from {offset_s:.1f} s',
                clip.shape[1] / sample.sample_fps,
                found.refined,
                _Truth(
                    truth.segments.cpu().numpy() / sample.sample_fps,
                    truth.labels.cpu().numpy(),
                ),
                clip_frames(clip, sample.sample_fps),
                found.coarse,
            )
            image = render_timelines([timeline], metainfo['classes'], self.score_thr)
            # Video ids may hold anything; names are parts of paths in some backends.
            video = re.sub(r'[^\w.-]', '_', sample.video_id)
            name = f'{stage}_{video}_{sample.window_offset}'
            runner.visualizer.add_image(name, image, runner.iter)
        self._wanted, self._outputs = [], None

    def detections(
        self, decoder: Any, outputs: dict[str, Tensor], num_frames: int, fps: float
    ) -> RefinedDetections:
        """The best detections of one window, without duplicates.

        Args:
            decoder: Decoder of the model.
            outputs: As from ``TALMTS.forward(mode='tensor')``, of one clip.
            num_frames: Frames of the clip.
            fps: Frames per second of the clip.

        Returns:
            RefinedDetections: At most ``max_detections``.
        """
        with torch.autocast(outputs['points'].device.type, enabled=False):
            segments, scores = decoder.decode(outputs, num_frames)
        segments, scores = segments[0].cpu(), scores[0].cpu()
        points = outputs['points'].float().cpu()[:, None]
        sides = points.new_tensor([-1.0, 1.0])
        coarse = points + sides * outputs['coarse_distances'][0].float().cpu()
        coarse = coarse.clamp(0, num_frames)
        parts, rows = [], []
        for label in range(scores.shape[1]):
            kept, lowered, picked = soft_nms_1d(
                segments,
                scores[:, label],
                sigma=self.sigma,
                min_score=self.score_thr,
                max_keep=self.max_detections,
            )
            rows.append(picked)
            parts.append(Detections(kept / fps, lowered, np.full(len(lowered), label)))
        found = Detections.concatenate(parts)
        order = np.argsort(-found.scores, kind='stable')[: self.max_detections]
        origin = torch.cat(rows).numpy()[order]
        return RefinedDetections(found[order], coarse.numpy()[origin] / fps)


def _model(runner: Runner) -> nn.Module:
    """The network without the wrapper of distributed runs."""
    model = runner.model
    return model.module if is_model_wrapper(model) else model
