"""One benchmark by its name, from settings to a report."""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Sequence
from pathlib import Path

import torch

from mmtal_mts.utils import UserError

from .boundary_pooling import boundary_pooling_cases
from .data_loading import data_cases
from .end_to_end import measure_end_to_end, video_length
from .evaluation import evaluation_cases
from .network import AFSD_CONFIG, TAL_MTS_CONFIG, inference_cases, train_cases
from .report import Report, describe_machine
from .soft_nms import soft_nms_cases
from .timing import measure

BENCHMARKS = (
    'inference',
    'train',
    'boundary_pooling',
    'soft_nms',
    'evaluation',
    'data',
    'end_to_end',
)


def run_benchmark(
    name: str,
    device: str = 'cpu',
    runs: int = 5,
    warmup: int = 1,
    clock: str = 'wall',
    amp: bool = False,
    configs: Sequence[str] = (AFSD_CONFIG, TAL_MTS_CONFIG),
    baseline: str = AFSD_CONFIG,
    clip_len: int = 256,
    crop_size: int = 96,
    gigabytes: float = 20.0,
    video: str | None = None,
) -> Report:
    """Runs one benchmark.

    Args:
        name: One of :data:`BENCHMARKS`.
        device: 'cpu', 'cuda' or 'cuda:0'; the post-processing, the evaluation and the
            data set run on the CPU anyway.
        runs: Rounds that are kept.
        warmup: Rounds before that.
        clock: 'wall', or 'cpu' for the time the process had a processor: steadier on
            a busy machine, but without waiting, and threads add up.
        amp: Run networks under autocast.
        configs: Model configs of 'inference' and 'train'; the last one is used by
            'end_to_end'.
        baseline: Model config that 'inference' and 'train' run without optimisation.
        clip_len: Frames of a clip.
        crop_size: Side of a clip in pixels.
        gigabytes: Size of the data set of 'data'.
        video: Video file of 'end_to_end'.

    Returns:
        The report.

    Raises:
        UserError: If a setting does not fit.
    """
    if name not in BENCHMARKS:
        raise UserError(f'benchmark {name!r}: choose from {", ".join(BENCHMARKS)}')
    if torch.device(device).type == 'cuda' and not torch.cuda.is_available():
        raise UserError(f'--device {device}: torch sees no GPU. Remedy: --device cpu')
    if clock == 'cpu' and torch.device(device).type != 'cpu':
        raise UserError('--clock cpu tells nothing about a GPU. Remedy: --clock wall')
    size = f'{clip_len}x{crop_size}x{crop_size}'
    timed = functools.partial(measure, runs=runs, warmup=warmup, clock=clock)
    report = functools.partial(Report, name)
    notes = [_about_the_clock(clock, runs)]

    if name in ('inference', 'train'):
        cases = inference_cases if name == 'inference' else train_cases
        words = (
            ('Forward pass', 'frame')
            if name == 'inference'
            else ('Training step without consistency loss', 'step')
        )
        measured = timed(
            cases(device, amp, baseline, configs, clip_len, crop_size), device=device
        )
        title = f'{words[0]} on one clip of {size}{" under autocast" if amp else ""}'
        return report(title, words[1], measured, describe_machine(device), notes)
    if name == 'end_to_end':
        if video is None:
            raise UserError('end_to_end needs a video file: --video FILE')
        frames, seconds = video_length(video)
        measured = measure_end_to_end(
            video, configs[-1], device, runs, warmup, clip_len, crop_size
        )
        title = (
            f'{Path(configs[-1]).stem} on a video of {seconds:.0f} s ({frames} frames),'
            f' windows of {size} at 10 frames/s'
        )
        notes = [_about_the_clock('wall', runs)]
        machine = describe_machine(device)
        return report(title, 'second', measured, machine, notes, has_baseline=False)
    if name == 'boundary_pooling':
        measured = timed(boundary_pooling_cases(device), device=device)
        title = 'Forward and backward of 126 segments on 1024 channels of 256 frames'
        return report(title, 'pass', measured, describe_machine(device), notes)
    if name == 'soft_nms':
        measured = timed(soft_nms_cases())
        title = 'Gaussian soft-NMS of 5,000 segments of each of 20 classes over 600 s'
        notes.append('The loop runs on one class, ours on all; times are per class.')
        return report(title, 'class', measured, describe_machine('cpu'), notes)
    if name == 'evaluation':
        measured = timed(evaluation_cases())
        title = 'mAP of 42,227 detections, 3,311 segments, 20 classes, 7 thresholds'
        return report(title, 'evaluation', measured, describe_machine('cpu'), notes)
    with tempfile.TemporaryDirectory() as folder:
        measured = timed(data_cases(Path(folder), gigabytes, clip_len, crop_size))
    title = f'Training clips of {size} from {gigabytes:g} GB of arrays, one process'
    return report(title, 'clip', measured, describe_machine('cpu'), notes)


def _about_the_clock(clock: str, runs: int) -> str:
    kind = 'processor time' if clock == 'cpu' else 'wall-clock time'
    return f'{runs} runs of each in turn, {kind}'
