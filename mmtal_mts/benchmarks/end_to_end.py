"""From a video file to detections: where the time goes."""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import torch
from mmengine.dataset import pseudo_collate
from torch import nn

from mmtal_mts.datasets import TALDataset
from mmtal_mts.datasets.transforms.video_readers import available_backends, open_video
from mmtal_mts.evaluation.functional.post_processing import merge_windows
from mmtal_mts.structures import Segments
from mmtal_mts.utils import UserError

from .network import TAL_MTS_CONFIG, build_model
from .timing import Measurement

STAGES = ('decode', 'preprocess', 'network', 'post-processing')
SAMPLE_FPS = 10
Result = TypeVar('Result')


class StageClock:
    """Adds up the time of stages.

    Args:
        device: Where the network runs; a GPU is waited for.
    """

    def __init__(self, device: str) -> None:
        self.seconds = dict.fromkeys(STAGES, 0.0)
        self._on_gpu = torch.device(device).type == 'cuda'

    def time(self, stage: str, function: Callable[[], Result]) -> Result:
        """Runs ``function`` and counts its time for ``stage``."""
        start = time.perf_counter()
        result = function()
        if self._on_gpu:
            torch.cuda.synchronize()
        self.seconds[stage] += time.perf_counter() - start
        return result


def video_length(video: str | os.PathLike) -> tuple[int, float]:
    """Frames and duration in seconds of a video file.

    Args:
        video: Video file.

    Returns:
        Number of frames, and the duration.

    Raises:
        UserError: If there is no such file, or its length is unknown.
    """
    if not Path(video).is_file():
        raise UserError(f'--video {video} does not exist')
    reader = open_video(str(video), available_backends()[0])
    if not reader.fps or not reader.num_frames:
        raise UserError(f'--video {video}: the file does not tell its length')
    return reader.num_frames, reader.num_frames / reader.fps


def open_windows(video: str | os.PathLike, clip_len: int, crop_size: int) -> TALDataset:
    """All windows of one video file, without a pipeline.

    Args:
        video: Video file.
        clip_len: Frames of a window.
        crop_size: Side of the crop in pixels.

    Returns:
        The windows, as a data set in test mode.
    """
    video = Path(video).resolve()
    entry = dict(
        subset='test', duration=video_length(video)[1], file=video.name, annotations=[]
    )
    side = round(crop_size * 7 / 6)  # 112 pixels for a crop of 96
    with tempfile.TemporaryDirectory() as folder:
        annotation = Path(folder) / 'annotations.json'
        content = dict(version='1', classes=['action'], database={video.stem: entry})
        annotation.write_text(json.dumps(content))
        return TALDataset(
            ann_file=str(annotation),
            data_prefix=dict(video=str(video.parent)),
            sample_fps=SAMPLE_FPS,
            clip_len=clip_len,
            test_mode=True,
            pipeline=[
                dict(type='LoadClip'),
                dict(type='Resize', scale=(side, side), keep_ratio=False),
                dict(type='CenterCrop', crop_size=crop_size),
                dict(type='FormatShape', input_format='NCTHW'),
                dict(type='PackTALInputs'),
            ],
        )


def detect(
    model: nn.Module, windows: TALDataset, clip_len: int, device: str
) -> tuple[Segments, dict[str, float]]:
    """Detects the actions of a video and takes the time of each stage.

    Args:
        model: The detector, in evaluation mode.
        windows: All windows of the video.
        clip_len: Frames of a window.
        device: Where the model is.

    Returns:
        The detections, and seconds by stage.
    """
    clock = StageClock(device)
    test_cfg = dict(nms=dict(method='gaussian', sigma=0.5, min_score=0.001))
    load, *prepare = windows.pipeline.transforms
    parts = []

    def preprocess(results: dict) -> dict:
        for step in prepare:
            results = step(results)
        return model.data_preprocessor(pseudo_collate([results]), training=False)

    def decode_outputs(outputs: dict, sample) -> Segments:
        (found,) = model.refine_head.predict_by_feat(
            outputs, clip_len, [sample], model.test_cfg
        )
        return Segments(found.segments.cpu(), found.labels.cpu(), found.scores.cpu())

    with torch.inference_mode():
        for index in range(len(windows)):
            info = windows.get_data_info(index)
            results = clock.time('decode', lambda info=info: load(info))
            batch = clock.time('preprocess', lambda data=results: preprocess(data))
            outputs = clock.time('network', lambda data=batch: model(data['inputs']))
            sample = batch['data_samples'][0]
            parts.append(
                clock.time(
                    'post-processing',
                    lambda out=outputs, sample=sample: decode_outputs(out, sample),
                )
            )
    merged = clock.time(
        'post-processing', lambda: merge_windows(parts, info['duration'], test_cfg)
    )
    return merged, clock.seconds


def measure_end_to_end(
    video: str | os.PathLike,
    config: str | os.PathLike = TAL_MTS_CONFIG,
    device: str = 'cpu',
    runs: int = 3,
    warmup: int = 1,
    clip_len: int = 256,
    crop_size: int = 96,
) -> list[Measurement]:
    """Measures the stages; an item is one second of video.

    Weights are random; all (location, class) pairs of every window go into the
    post-processing, which is more than a trained network leaves.

    Args:
        video: Video file.
        config: Model config.
        device: Where the network runs.
        runs: Rounds that are kept.
        warmup: Rounds before that.
        clip_len: Frames of a window.
        crop_size: Side of the crop in pixels.

    Returns:
        One measurement per stage.
    """
    duration = video_length(video)[1]
    windows = open_windows(video, clip_len, crop_size)
    model = build_model(config, device).eval()
    stages = [Measurement(stage, duration) for stage in STAGES]
    for number in range(warmup + runs):
        seconds = detect(model, windows, clip_len, device)[1]
        if number >= warmup:
            for stage in stages:
                stage.seconds.append(seconds[stage.name])
    return stages
