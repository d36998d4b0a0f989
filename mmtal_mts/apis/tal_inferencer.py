"""Detects actions in videos, for a person or another program."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmaction.registry import INFERENCERS
from mmengine.config import Config
from mmengine.dataset import Compose, pseudo_collate
from mmengine.infer import BaseInferencer
from torch import nn

from ..datasets.flow import build_flow
from ..datasets.video import VideoReader
from ..datasets.windows import ArrayReader, video_windows
from ..evaluation.functional.post_processing import merge_windows, predicted_segments
from ..structures import Segments
from ..utils import UserError
from ..utils.processes import run_ahead
from ..visualization import Timeline, render_timelines
from .model_zoo import (
    checkpoint_config,
    find_config,
    find_weights,
    init_model,
    usable_device,
)
from .runner import load_config
from .writers import Selection, VideoResult

Source = str | os.PathLike | np.ndarray | Iterable[np.ndarray]
"""Video file; or frames (T, H, W, 3) uint8 RGB, an array or one by one."""


@INFERENCERS.register_module()
class TALInferencer(BaseInferencer):
    """Finds the actions of videos with a trained model.

    Windows, preprocessing, ``model.test_cfg`` and class names are those of the config,
    so that the detections are those of ``tools/test.py``. Decoding runs ahead of the
    network in a thread; memory does not grow with the length of a video.

    Unlike in MMEngine's base class, an input has many windows and one result, so
    :meth:`preprocess`, :meth:`forward` and :meth:`postprocess` work on one video.

    Args:
        model: Config: a file, a name of :func:`.list_models`, or a config. None: the
            one that is in the checkpoint.
        weights: Checkpoint: a file, or the address of a released one; or the ``.onnx``
            file of an export. None: the released checkpoint of the model.
        device: E.g. 'cpu' or 'cuda:1'. None: the first GPU if there is one.
        batch_size: Windows that go through the network at once.
        amp: Mixed precision: float16 on GPUs, bfloat16 on CPUs.
        frame_size: Side in pixels to which frames are scaled first, for configs whose
            data are arrays of frames or flow of that size.
        flow_method: How optical flow is computed, for configs that use it.

    Attributes:
        classes: Names of the labels.

    Raises:
        UserError: The config, the checkpoint or the device is unusable.
    """

    def __init__(
        self,
        model: str | os.PathLike | Config | None = None,
        weights: str | os.PathLike | None = None,
        device: str | None = None,
        *,
        batch_size: int = 1,
        amp: bool = False,
        frame_size: int | None = None,
        flow_method: str = 'tvl1',
    ) -> None:
        if batch_size < 1:
            raise UserError(f'batch size must be at least 1, got {batch_size}')
        if model is None and weights is None:
            raise UserError('a model or a checkpoint with its config is needed')
        if model is None:
            model = checkpoint_config(weights)
        elif not isinstance(model, Config):
            model = load_config(find_config(model))
        self.weights = os.fspath(weights or find_weights(model.filename))
        self.batch_size, self.amp = batch_size, amp
        self.frame_size, self.flow_method = frame_size, flow_method
        self.device = usable_device(device)
        settings = video_dataset_cfg(model)
        self.window_cfg = window_settings(settings, frame_size, flow_method)
        super().__init__(model, self.weights, str(self.device), 'mmaction')
        self.classes = _classes(settings, self.cfg, self.model)

    def __call__(
        self, inputs: Source | Sequence[Source], *, fps: float | None = None
    ) -> VideoResult | list[VideoResult]:
        """Finds the actions of one or several videos.

        Args:
            inputs: Video file; or frames (T, H, W, 3) uint8 RGB as an array, or one
                by one as a generator; or a list or tuple of several of these, for a
                list of results.
            fps: Frame rate of arrays and generators.

        Raises:
            VideoReadError: A video is unreadable.
            UserError: Frames come without ``fps``.
        """
        if isinstance(inputs, (list, tuple)):
            return [self.detect(item, fps=fps) for item in inputs]
        return self.detect(inputs, fps=fps)

    def detect(
        self,
        source: Source,
        video_id: str | None = None,
        *,
        fps: float | None = None,
        report: Callable[[int, int | None], None] | None = None,
    ) -> VideoResult:
        """Finds the actions of one video.

        Args:
            source: See :meth:`__call__`.
            video_id: Name of the video, by default that of the file.
            fps: See :meth:`__call__`.
            report: Called after each batch with the number of windows that are done
                and, as far as it is known, of all windows.
        """
        is_file = isinstance(source, (str, os.PathLike))
        if not is_file and fps is None:
            raise UserError('frames need their rate. Remedy: give fps=...')
        reader = VideoReader(source, 0) if is_file else ArrayReader(source, fps)
        if video_id is None:
            video_id = Path(source).stem if is_file else 'frames'
        preds, total = [], None
        if reader.num_frames is not None:
            total = sum(1 for _ in video_windows(reader, video_id, **self.window_cfg))
        for batch in run_ahead(self.preprocess(reader, self.batch_size, video_id), 1):
            preds += self.forward(batch)
            if report is not None:
                report(len(preds), total)
        reader.close()
        return self.postprocess(preds, reader=reader, video_id=video_id)

    def preprocess(
        self, inputs: VideoReader | ArrayReader, batch_size: int, video_id: str
    ) -> Iterator[dict]:
        """Yields batches of windows of a video: ``inputs`` and ``data_samples``."""
        windows = video_windows(inputs, video_id, **self.window_cfg)
        for chunk in self._get_chunk_data(map(self.pipeline, windows), batch_size):
            yield self.collate_fn(chunk)

    @torch.inference_mode()
    def forward(self, inputs: dict) -> list[Segments]:
        """Detects in the windows of a batch, in seconds of the video, before NMS."""
        kind = self.device.type
        dtype = torch.float16 if kind == 'cuda' else torch.bfloat16
        with torch.autocast(kind, dtype=dtype, enabled=self.amp):
            samples = self.model.test_step(inputs)
        return [predicted_segments(sample) for sample in samples]

    def postprocess(
        self,
        preds: Sequence[Segments],
        visualization: Any = None,
        *,
        reader: VideoReader | ArrayReader,
        video_id: str,
    ) -> VideoResult:
        """Joins the detections of the windows of a video by ``model.test_cfg``."""
        return VideoResult(
            video_id,
            merge_windows(preds, reader.duration_s, self.model.test_cfg),
            self.classes,
            reader.duration_s,
            None if isinstance(reader, ArrayReader) else reader.path,
            warnings=tuple(reader.warnings),
            first_frame_s=reader.first_frame_s,
        )

    def visualize(
        self, inputs: Sequence[Source], preds: Sequence[VideoResult], **kwargs: Any
    ) -> list[np.ndarray]:
        """Draws timelines (H, W, 3) uint8 RGB of results; :mod:`.writers` has more.

        Args:
            inputs: Not used.
            preds: Results.
            **kwargs: Settings of :class:`.Selection`.
        """
        pictures = []
        for r in map(Selection(**kwargs), preds):
            rows = Timeline(r.video_id, r.duration, r.detections, r.ground_truth)
            pictures.append(render_timelines([rows], r.classes))
        return pictures

    def _init_model(self, cfg: Config, weights: str, device: str) -> nn.Module:
        return init_model(cfg, weights, device)

    def _init_pipeline(self, cfg: Config) -> Compose:
        return build_pipeline(video_dataset_cfg(cfg))

    def _init_collate(self, cfg: Config) -> Callable:
        return pseudo_collate

    def _init_visualizer(self, cfg: Config) -> None:
        return None


def video_dataset_cfg(cfg: Config) -> dict:
    """The settings of the test data set of a config; an error if it reads no videos."""
    loader = cfg.get('test_dataloader') or cfg.get('val_dataloader')
    if not loader:
        raise UserError(
            f'config {cfg.filename} has no test_dataloader, whose pipeline and '
            'window settings are needed'
        )
    settings = loader['dataset']
    while 'dataset' in settings:
        settings = settings['dataset']
    kind = settings.get('type', 'TALDataset')
    if kind == 'TALFeatureDataset':
        raise UserError(
            f'{cfg.filename} reads features, not videos. Remedy: make those of the '
            'videos by tools/misc/extract_features.py, then use tools/test.py'
        )
    if kind != 'TALDataset':
        raise UserError(f'test_dataloader of {cfg.filename} is not a TALDataset')
    return settings


def window_settings(
    dataset_cfg: dict, frame_size: int | None, flow_method: str
) -> dict[str, Any]:
    """What :func:`.video_windows` needs; an error if a video is not enough."""
    steps = [step['type'] for step in dataset_cfg.get('pipeline', [])]
    if steps[:1] != ['LoadClip']:
        raise UserError(
            'the test pipeline must begin with LoadClip to be used on videos, its '
            f'steps are {steps}'
        )
    if dataset_cfg.get('source_type', 'video') != 'video' and frame_size is None:
        raise UserError(
            'the config reads frames or flow that were scaled and stored '
            'beforehand. Remedy: give their size in pixels, e.g. --frame-size 112'
        )
    if dataset_cfg.get('modality') == 'Flow' or 'AppendClip' in steps:
        # An unknown or missing method stops a run at its start.
        build_flow(flow_method)
    names = 'sample_fps clip_len window_stride num_frames_per_video modality'.split()
    given = {name: dataset_cfg[name] for name in names if name in dataset_cfg}
    return dict(given, frame_size=frame_size, flow_method=flow_method)


def build_pipeline(dataset_cfg: dict) -> Compose:
    """The test pipeline for one's own videos, which have no scores of a classifier."""
    steps = [s for s in dataset_cfg['pipeline'] if s['type'] != 'LoadVideoScores']
    return Compose(steps)


def _classes(dataset_cfg: dict, cfg: Config, model: nn.Module) -> tuple[str, ...]:
    """Class names, from the config or else the checkpoint."""
    metas = (dataset_cfg, dataset_cfg.get('metainfo'), model.meta.get('dataset_meta'))
    found = [meta['classes'] for meta in metas if meta and meta.get('classes')]
    if dataset_cfg.get('class_agnostic'):
        found = [('action',)]
    if not found:
        raise UserError(
            'neither the config nor the checkpoint names the classes. Remedy: set '
            'test_dataloader.dataset.classes in the config'
        )
    num_classes = getattr(model, 'num_classes', None)
    if num_classes is None:
        num_classes = cfg.model.get('rgb', cfg.model).coarse_head.num_classes
    if len(found[0]) != num_classes:
        raise UserError(
            f'the config names {len(found[0])} classes, but its model has '
            f'num_classes={num_classes}. Remedy: make both the same'
        )
    return tuple(found[0])
