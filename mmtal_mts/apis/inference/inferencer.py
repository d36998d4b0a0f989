"""Detects actions in videos, for a person or another program."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Union

import numpy as np
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope

from mmtal_mts.apis.config import load_config
from mmtal_mts.apis.device import usable_device
from mmtal_mts.apis.model_zoo import find_config, find_weights, load_model
from mmtal_mts.apis.onnx_detector import OnnxDetector
from mmtal_mts.apis.outputs.result import VideoResult
from mmtal_mts.datasets.streaming import run_ahead
from mmtal_mts.datasets.video_stream import ArrayStream, VideoStream
from mmtal_mts.evaluation.functional.detections import Detections
from mmtal_mts.evaluation.functional.merge import WindowMerger
from mmtal_mts.evaluation.metrics.window_result import window_detections
from mmtal_mts.models.detectors import TwoStreamTALMTS
from mmtal_mts.utils import UserError

from .window_pipeline import Stream, WindowPipeline

Source = Union[str, os.PathLike, np.ndarray, Iterable[np.ndarray]]
Report = Callable[[int, Union[int, None]], None]


class TALInferencer:
    """Finds the actions of videos with a trained model.

    Windows, preprocessing, NMS and class names are those of the config, so that the
    detections are those of ``tools/test.py``. Decoding runs ahead of the network in
    a thread; memory does not grow with the length of a video.

    Args:
        model (str | os.PathLike | Config): Config: a file, the name of one under
            ``configs/`` without ``.py``, or a config.
        weights (str, optional): Checkpoint: a file, or the address of a released one;
            or the ``.onnx`` file of an export. None takes the released checkpoint, see
            :func:`~mmtal_mts.apis.find_weights`.
        device (str, optional): E.g. 'cpu' or 'cuda:1'. None: the first GPU if there
            is one.
        batch_size (int): Windows that go through the network at once.
        amp (bool): Mixed precision: float16 on GPUs, bfloat16 on CPUs.
        frame_size (int, optional): See :class:`WindowPipeline`.
        flow_method (str): See :class:`WindowPipeline`.

    Attributes:
        classes (tuple[str, ...]): Names of the labels.

    Raises:
        UserError: If the config, the checkpoint or the device is unusable.
    """

    def __init__(
        self,
        model: str | os.PathLike | Config,
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
        is_config = isinstance(model, Config)
        self.cfg = model if is_config else load_config(find_config(model))
        self.weights = os.fspath(weights or find_weights(self.cfg.filename))
        self.device = usable_device(device)
        self.batch_size = batch_size
        self.amp = amp
        self.frame_size = frame_size
        self.flow_method = flow_method
        init_default_scope(self.cfg.get('default_scope', 'mmaction'))
        self.pipeline = WindowPipeline.from_config(self.cfg, frame_size, flow_method)
        self.merger = _merger(self.cfg)
        self.model = _load(self.cfg, self.weights, self.device)
        self.classes = _classes(self.pipeline.classes, self.model.meta, self.model)

    def __call__(
        self, inputs: Source | Sequence[Source], *, fps: float | None = None
    ) -> VideoResult | list[VideoResult]:
        """Finds the actions of one or several videos.

        Args:
            inputs: Video file; or frames (T, H, W, 3) uint8 RGB as an array, or one
                by one as a generator; or a list or tuple of several of these.
            fps (float, optional): Frame rate of arrays and generators.

        Returns:
            VideoResult | list[VideoResult]: As many as inputs, a list for a list.

        Raises:
            VideoReadError: If a video is unreadable.
            UserError: If frames come without ``fps``.
        """
        if isinstance(inputs, (list, tuple)):
            return [self.detect(item, fps=fps) for item in inputs]
        return self.detect(inputs, fps=fps)

    def detect(
        self,
        source: Source,
        *,
        video_id: str | None = None,
        fps: float | None = None,
        report: Report | None = None,
    ) -> VideoResult:
        """Finds the actions of one video.

        Args:
            source: See :meth:`__call__`.
            video_id (str, optional): Name of the video, by default that of the file.
            fps (float, optional): Frame rate of an array or generator.
            report (Callable, optional): Called after each batch with the number of
                windows that are done and, as far as it is known, of all windows.

        Returns:
            VideoResult: All detections after NMS.
        """
        path = os.fspath(source) if isinstance(source, (str, os.PathLike)) else None
        if video_id is None:
            video_id = 'frames' if path is None else Path(path).stem
        stream = self._open(source, fps)
        sampler = self.pipeline.sampler(stream)
        packed = self.pipeline.windows(sampler, video_id)
        total, done = self.pipeline.estimate(stream), 0
        found: list[Detections] = []
        # As many windows wait as the network works on.
        for batch in _batches(run_ahead(packed, self.batch_size), self.batch_size):
            found += self._forward(batch)
            done += len(batch)
            if report is not None:
                report(done, None if total is None else max(total, done))
        return VideoResult(
            video_id,
            self.merger.merge(found, sampler.duration),
            self.classes,
            sampler.duration,
            path,
            warnings=tuple(stream.warnings),
            first_frame_s=stream.first_frame_s,
        )

    @staticmethod
    def _open(source: Source, fps: float | None) -> Stream:
        if isinstance(source, (str, os.PathLike)):
            return VideoStream(source)
        if fps is None:
            raise UserError('frames need their rate. Remedy: give fps=...')
        return ArrayStream(source, fps)

    @torch.inference_mode()
    def _forward(self, batch: Sequence[dict]) -> list[Detections]:
        """Detections of each window, before NMS."""
        data = dict(
            inputs=[window['inputs'] for window in batch],
            data_samples=[window['data_samples'] for window in batch],
        )
        dtype = torch.float16 if self.device.type == 'cuda' else torch.bfloat16
        with torch.autocast(self.device.type, dtype=dtype, enabled=self.amp):
            samples = self.model.test_step(data)
        return [window_detections(sample)['detections'] for sample in samples]


def _batches(items: Iterable[dict], size: int) -> Iterator[list[dict]]:
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch


def _merger(cfg: Config) -> WindowMerger:
    """How the windows of a video are joined when the config is tested."""
    metrics = cfg.get('test_evaluator') or cfg.get('val_evaluator') or []
    metrics = metrics if isinstance(metrics, (list, tuple)) else [metrics]
    for metric in metrics:
        if metric.get('type') == 'TALMetric':
            names = ('nms', 'clamp', 'max_per_video')
            return WindowMerger(**{k: metric[k] for k in names if k in metric})
    raise UserError(
        f'config {cfg.filename} has no TALMetric in test_evaluator, whose NMS settings '
        'are needed'
    )


def _load(cfg: Config, weights: str, device: torch.device) -> torch.nn.Module:
    """The network of a checkpoint or of an export."""
    if weights.endswith('.onnx'):
        return OnnxDetector(weights, cfg).to(device).eval()
    return load_model(cfg, weights, device)


def _classes(
    configured: tuple[str, ...] | None, meta: dict, model: torch.nn.Module
) -> tuple[str, ...]:
    """Class names, from the config or else the checkpoint."""
    classes = configured or (meta.get('dataset_meta') or {}).get('classes')
    if classes is None:
        raise UserError(
            'neither the config nor the checkpoint names the classes. Remedy: set '
            'test_dataloader.dataset.classes in the config'
        )
    network = model.rgb if isinstance(model, TwoStreamTALMTS) else model
    if isinstance(network, OnnxDetector):
        num_classes = network.num_classes
    else:
        num_classes = network.coarse_head.num_classes
    if len(classes) != num_classes:
        raise UserError(
            f'the config names {len(classes)} classes, but its model has '
            f'num_classes={num_classes}. Remedy: make both the same'
        )
    return tuple(classes)
