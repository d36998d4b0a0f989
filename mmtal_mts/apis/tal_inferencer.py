"""Detects actions in videos, for a person or another program."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmaction.registry import INFERENCERS
from mmengine.config import Config
from mmengine.dataset import Compose, pseudo_collate
from mmengine.infer import BaseInferencer

from ..datasets.flow import build_flow
from ..datasets.video import VideoReader
from ..datasets.windows import ArrayReader, video_windows
from ..evaluation.functional.post_processing import merge_windows, predicted_segments
from ..structures import Segments
from ..utils import UserError
from ..utils.processes import run_ahead
from ..visualization import render_timelines
from .model_zoo import init_model, usable_device
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
    :meth:`preprocess` takes the windows of one video, and so on.

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
        self.batch_size, self.amp = batch_size, amp
        self.device = usable_device(device)
        self.model = init_model(model, weights, device)
        self.cfg, self.weights = self.model.cfg, self.model.weights_file
        more = (frame_size, flow_method)
        dataset_cfg, self.window_cfg = video_settings(self.cfg, *more)
        self.pipeline = self._init_pipeline(dataset_cfg)
        self.collate_fn = pseudo_collate
        self.classes = self._classes(dataset_cfg)

    def __call__(
        self,
        inputs: Source | Sequence[Source],
        *,
        fps: float | None = None,
        video_id: str | None = None,
        report: Callable[[int, int | None], None] = lambda done, total: None,
    ) -> VideoResult | list[VideoResult]:
        """Finds the actions of one or several videos.

        Args:
            inputs: Video file; or frames (T, H, W, 3) uint8 RGB as an array, or one
                by one as a generator; or a list or tuple of several of these, for a
                list of results.
            fps: Frame rate of arrays and generators.
            video_id: Name of the video, by default that of the file.
            report: Called after each batch with the number of windows that are done
                and, as far as it is known, of all windows.

        Raises:
            VideoReadError: A video is unreadable.
            UserError: Frames come without ``fps``.
        """
        if isinstance(inputs, (list, tuple)):
            return [self(item, fps=fps, report=report) for item in inputs]
        is_file = isinstance(inputs, (str, os.PathLike))
        if not is_file and fps is None:
            raise UserError('frames need their rate. Remedy: give fps=...')
        reader = VideoReader(inputs, 0) if is_file else ArrayReader(inputs, fps)
        video_id = video_id or (Path(inputs).stem if is_file else 'frames')
        make_windows = partial(video_windows, reader, video_id, **self.window_cfg)
        is_known = reader.num_frames is not None
        preds, total = [], sum(1 for _ in make_windows()) if is_known else None
        for batch in run_ahead(self.preprocess(make_windows(), self.batch_size), 1):
            preds += self.forward(batch)
            report(len(preds), total)
        reader.close()
        return VideoResult(
            video_id,
            reader.duration_s,
            self.postprocess(preds, duration_s=reader.duration_s),
            classes=self.classes,
            path=os.fspath(inputs) if is_file else None,
            warnings=tuple(reader.warnings),
            first_frame_s=reader.first_frame_s,
        )

    @torch.inference_mode()
    def forward(self, inputs: dict) -> list[Segments]:
        """Detects in the windows of a batch, in seconds of the video, before NMS."""
        kind = self.device.type
        dtype = torch.float16 if kind == 'cuda' else torch.bfloat16
        with torch.autocast(kind, dtype=dtype, enabled=self.amp):
            samples = self.model.test_step(inputs)
        return [predicted_segments(sample) for sample in samples]

    def postprocess(
        self, preds: Sequence[Segments], visualization: Any = None, *, duration_s: float
    ) -> Segments:
        """Joins the detections of the windows of a video by ``model.test_cfg``."""
        return merge_windows(preds, duration_s, self.model.test_cfg)

    def visualize(
        self, inputs: Sequence[Source], preds: Sequence[VideoResult], **kwargs: Any
    ) -> list[np.ndarray]:
        """Draws timelines (H, W, 3) uint8 RGB of results; :mod:`.writers` has more.

        Args:
            inputs: Not used.
            preds: Results.
            **kwargs: Settings of :class:`.Selection`.
        """
        selection = Selection(**kwargs)
        return [
            render_timelines([shown], shown.classes, selection.score_thr)
            for shown in map(selection, preds)
        ]

    def _init_pipeline(self, cfg: dict) -> Compose:
        # Videos have no scores of a classifier.
        return Compose([s for s in cfg['pipeline'] if s['type'] != 'LoadVideoScores'])

    def _classes(self, dataset: dict) -> tuple[str, ...]:
        """Class names, from the config or else the checkpoint."""
        model = self.model
        metas = (dataset, dataset.get('metainfo'), model.meta.get('dataset_meta'))
        found = [meta['classes'] for meta in metas if meta and meta.get('classes')]
        if dataset.get('class_agnostic'):
            found = [('action',)]
        if not found:
            raise UserError(
                'neither the config nor the checkpoint names the classes. Remedy: set '
                'test_dataloader.dataset.classes in the config'
            )
        network = self.cfg.model.get('rgb', self.cfg.model)
        num_classes = getattr(model, 'num_classes', network.coarse_head.num_classes)
        if len(found[0]) != num_classes:
            raise UserError(
                f'the config names {len(found[0])} classes, but its model has '
                f'num_classes={num_classes}. Remedy: make both the same'
            )
        return tuple(found[0])


def video_settings(
    cfg: Config, frame_size: int | None, flow_method: str
) -> tuple[dict, dict[str, Any]]:
    """Reads from a config how its test data set makes windows of a video.

    Args:
        cfg: Config.
        frame_size: See :class:`TALInferencer`.
        flow_method: See :class:`TALInferencer`.

    Returns:
        The settings of the data set, and the arguments of :func:`.video_windows`.

    Raises:
        UserError: It reads something else, or needs more than a video.
    """
    loader = cfg.get('test_dataloader') or cfg.get('val_dataloader')
    if not loader:
        raise UserError(
            f'config {cfg.filename} has no test_dataloader, whose pipeline and '
            'window settings are needed'
        )
    dataset = loader['dataset']
    while 'dataset' in dataset:
        dataset = dataset['dataset']
    kind = dataset.get('type', 'TALDataset')
    if kind == 'TALFeatureDataset':
        raise UserError(
            f'{cfg.filename} reads features, not videos. Remedy: make those of the '
            'videos by tools/misc/extract_features.py, then use tools/test.py'
        )
    if kind != 'TALDataset':
        raise UserError(f'test_dataloader of {cfg.filename} is not a TALDataset')
    steps = [step['type'] for step in dataset.get('pipeline', [])]
    if steps[:1] != ['LoadClip']:
        raise UserError(
            'the test pipeline must begin with LoadClip to be used on videos, its '
            f'steps are {steps}'
        )
    if dataset.get('source_type', 'video') != 'video' and frame_size is None:
        raise UserError(
            'the config reads frames or flow that were scaled and stored '
            'beforehand. Remedy: give their size in pixels, e.g. --frame-size 112'
        )
    if dataset.get('modality') == 'Flow' or 'AppendClip' in steps:
        # An unknown or missing method stops a run at its start.
        build_flow(flow_method)
    names = 'sample_fps clip_len window_stride num_frames_per_video modality'.split()
    given = {name: dataset[name] for name in names if name in dataset}
    return dataset, dict(given, frame_size=frame_size, flow_method=flow_method)
