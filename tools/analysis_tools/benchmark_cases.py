"""What benchmark.py measures: for each benchmark the alternatives that do the work."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from benchmark_baselines import (
    evaluate_data_frames,
    make_plain,
    pool_segment_by_segment,
    soft_nms_in_python,
)
from mmaction.registry import MODELS
from mmaction.structures import ActionDataSample
from mmengine.dataset import Compose, pseudo_collate
from mmengine.registry import init_default_scope
from mmengine.structures import InstanceData
from torch import nn
from torch.utils.benchmark import timer

from mmtal_mts.apis import load_config
from mmtal_mts.datasets import TALDataset
from mmtal_mts.datasets.video import VideoReader
from mmtal_mts.datasets.windows import video_windows
from mmtal_mts.evaluation.functional.mean_ap import mean_average_precision
from mmtal_mts.evaluation.functional.post_processing import (
    merge_windows,
    predicted_segments,
)
from mmtal_mts.ops import compiled_ops_problem
from mmtal_mts.ops.boundary_pooling import compiled_max_pooling, vectorized_max_pooling
from mmtal_mts.structures import Segments
from mmtal_mts.structures.timebase import frames_to_seconds
from mmtal_mts.utils import UserError, write_json

SAMPLE_FPS = 10
THRESHOLDS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7)
NMS = dict(method='gaussian', sigma=0.5, min_score=0.001)


@dataclass
class Case:
    """One way to do the work, or one stage of it, and what was measured.

    ``items`` is how much of the work a run does; a slow alternative may do less.
    ``peak_bytes`` is the largest memory that a run took on top of what was held before
    it (resident on a CPU, allocated on a GPU); None where the system does not tell.
    """

    name: str
    run: Callable[[], object] | None = None
    items: float = 1.0
    seconds: list[float] = field(default_factory=list)
    peak_bytes: int | None = None

    @property
    def per_item(self) -> list[float]:
        """Seconds per unit of work, run by run."""
        return [value / self.items for value in self.seconds]


class Plan(NamedTuple):
    """Alternatives, the first of which is the baseline; or one that has stages.

    The ``stages`` get the seconds of each run of the one case.
    """

    title: str
    unit: str
    cases: list[Case]
    notes: tuple[str, ...] = ()
    stages: tuple[Case, ...] = ()


def build_model(config: str, device: str = 'cpu') -> nn.Module:
    """Builds the model of a config with random weights."""
    cfg = load_config(config)
    if 'model' not in cfg:
        raise UserError(f'config {config} has no model. Remedy: give another one')
    init_default_scope('mmaction')
    if 'pretrained' in cfg.model.backbone:
        cfg.model.backbone.pretrained = None
    torch.manual_seed(0)
    return MODELS.build(cfg.model).to(device)


def inference(args: argparse.Namespace, folder: Path) -> Plan:
    """One clip through the plain network and through ours."""
    cases = _network_cases(args, is_training=False)
    return Plan(f'Forward pass on {_clip(args)}', 'frame', cases)


def train(args: argparse.Namespace, folder: Path) -> Plan:
    """A step of training: forward, backward, Adam."""
    cases = _network_cases(args, is_training=True)
    title = f'Training step without consistency loss on {_clip(args)}'
    return Plan(title, 'step', cases)


def _clip(args: argparse.Namespace) -> str:
    amp = ' under autocast' if args.amp else ''
    return f'one clip of {args.clip_len}x{args.crop_size}x{args.crop_size}{amp}'


def _network_cases(args: argparse.Namespace, is_training: bool) -> list[Case]:
    plain = make_plain(build_model(args.baseline, args.device))
    models = {f'plain {Path(args.baseline).stem}': plain}
    for config in args.configs:
        models[Path(config).stem] = build_model(config, args.device)
    items = 1 if is_training else args.clip_len
    return [
        Case(name, _network_run(model.train(is_training), args), items)
        for name, model in models.items()
    ]


def _network_run(model: nn.Module, args: argparse.Namespace) -> Callable[[], object]:
    shape = (1, model.backbone.in_channels, args.clip_len, *2 * [args.crop_size])
    generator = torch.Generator().manual_seed(0)
    frames = (torch.rand(shape, generator=generator) * 2 - 1).to(args.device)
    kind = torch.device(args.device).type

    def forward() -> object:
        with torch.inference_mode(), torch.autocast(kind, enabled=args.amp):
            return model(frames)

    if not model.training:
        return forward
    # A short, a medium and a long action.
    share = torch.tensor([[0.1, 0.15], [0.3, 0.5], [0.4, 0.95]], device=args.device)
    labels = torch.zeros(3, dtype=torch.long, device=args.device)
    sample = ActionDataSample()
    sample.gt_instances = InstanceData(segments=share * args.clip_len, labels=labels)
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.Adam(parameters, lr=1e-5, weight_decay=1e-3)

    def step() -> None:
        with torch.autocast(kind, enabled=args.amp):
            losses = model(frames, [sample], mode='loss')
        sum(losses.values()).backward()
        optimizer.step()
        # Not held while another model has its turn.
        optimizer.zero_grad(set_to_none=True)

    return step


def boundary_pooling(args: argparse.Namespace, folder: Path) -> Plan:
    """The pooling of 256 frames, which have 126 locations, forward and backward."""
    channels, num_frames, count = 1024, 256, 126
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(1, channels, num_frames, generator=generator)
    features = features.to(args.device).requires_grad_()
    centre = torch.rand(1, count, 1, generator=generator) * num_frames
    length = torch.rand(1, count, 1, generator=generator) * num_frames / 2 + 4
    shifts = torch.tensor([-0.6, -0.25, 0.25, 0.6])  # of a length: 1/10 out, 1/4 in
    segments = (centre + length * shifts).round().to(args.device)
    weight = torch.randn(1, channels, count, generator=generator).to(args.device)

    def both_ways(pool: Callable) -> Callable[[], None]:
        def run() -> None:
            features.grad = None
            pool(features, segments).backward(weight)

        return run

    cases = [
        Case('loop over the segments', both_ways(pool_segment_by_segment)),
        Case('vectorised torch', both_ways(vectorized_max_pooling)),
    ]
    if compiled_ops_problem(torch.device(args.device).type) is None:
        cases.append(Case('compiled', both_ways(compiled_max_pooling)))
    title = f'{count} segments on {channels} channels of {num_frames} frames'
    return Plan(f'Forward and backward of {title}', 'pass', cases)


def soft_nms(args: argparse.Namespace, folder: Path) -> Plan:
    """The detections of one video; the loop is so slow that it gets one class."""
    num_segments, num_classes, duration_s = 5000, 20, 600
    random = np.random.default_rng(0)
    count = num_segments * num_classes
    centre = random.uniform(0, duration_s, count)
    half = random.uniform(0.25, 10, count)
    found = Segments(
        np.stack([centre - half, centre + half], axis=1),
        np.repeat(np.arange(num_classes), num_segments),
        random.uniform(0.001, 1, count),
    )
    first = found[found.labels == 0]
    loop_input = first.segments.tolist(), first.scores.tolist()
    test_cfg = dict(nms=NMS, clamp=False)
    ours = Case('ours, all classes', items=num_classes)
    ours.run = lambda: merge_windows([found], None, test_cfg)
    cases = [Case('Python loop', lambda: soft_nms_in_python(*loop_input)), ours]
    title = (
        f'Gaussian soft-NMS of {num_segments:,} segments of each of {num_classes} '
        f'classes over {duration_s} s'
    )
    note = 'The loop runs on one class, ours on all; times are per class.'
    return Plan(title, 'class', cases, (note,))


def random_results(
    num_detections: int = 42_227,
    num_videos: int = 210,
    num_segments: int = 3311,
    num_classes: int = 20,
) -> tuple[dict[str, Segments], dict[str, Segments]]:
    """Ground truth the size of THUMOS14's test set, and detections around it."""
    random = np.random.default_rng(0)
    video = random.integers(0, num_videos, num_segments)
    # As there, a video has actions of one or two classes.
    label = (video + random.integers(0, 2, num_segments)) % num_classes
    start = random.uniform(0, 600, num_segments)
    segment = np.stack([start, start + random.uniform(1, 10, num_segments)], axis=1)
    source = random.integers(0, num_segments, num_detections)
    found = segment[source] + random.normal(0, 1.5, (num_detections, 2))
    truth = Segments(segment, label)
    detected = Segments(
        np.sort(found, axis=1), label[source], random.uniform(0, 1, num_detections)
    )
    names = [f'video_{number}' for number in range(num_videos)]
    return (
        {n: truth[video == i] for i, n in enumerate(names)},
        {n: detected[video[source] == i] for i, n in enumerate(names)},
    )


def evaluation(args: argparse.Namespace, folder: Path) -> Plan:
    """Mean average precision of a whole data set."""
    inputs = (*random_results(), 20, THRESHOLDS)
    cases = [
        Case('data frames', lambda: evaluate_data_frames(*inputs)),
        Case('ours', lambda: mean_average_precision(*inputs)),
    ]
    title = 'mAP of 42,227 detections, 3,311 segments, 20 classes, 7 thresholds'
    return Plan(title, 'evaluation', cases)


def data(args: argparse.Namespace, folder: Path, clips: int = 20) -> Plan:
    """Loads training clips of arrays of zeros that take no space on the disk."""
    clip_len, crop_size = args.clip_len, args.crop_size
    if args.gigabytes <= 0:
        raise UserError(f'--gigabytes {args.gigabytes} must be positive')
    shape = (max(2660, clip_len), 112, 112, 3)
    count = max(round(args.gigabytes * 1e9 / np.prod(shape, dtype=np.float64)), 1)
    duration = float(frames_to_seconds(shape[0], SAMPLE_FPS))
    actions = [
        dict(segment=[s, s + 8], label='action')
        for s in np.arange(1, duration - 10, 20).tolist()
    ]
    entry = dict(subset='training', duration=duration, annotations=actions)
    for i in range(count):
        # Sized by a seek: the blocks of a file that were never written do not exist.
        np.lib.format.open_memmap(folder / f'video_{i:04d}.npy', 'w+', np.uint8, shape)
    database = {f'video_{i:04d}': entry for i in range(count)}
    content = dict(version='1', classes=['action'], database=database)
    write_json(folder / 'annotations.json', content)
    dataset = TALDataset(
        'annotations.json',
        str(folder),
        source_type='npy',
        sample_fps=SAMPLE_FPS,
        clip_len=clip_len,
        pipeline=[
            dict(type='LoadClip', pad_value=0),
            dict(type='RandomCrop', size=crop_size),
            dict(type='FlipClip', flip_ratio=0.5),
            dict(type='CutInsertBackground'),
            dict(type='FormatShape', input_format='NCTHW'),
            dict(type='PackTALInputs'),
        ],
    )
    random = np.random.default_rng(0)

    def load_whole_array() -> np.ndarray:
        video = np.load(folder / f'video_{random.integers(count):04d}.npy')
        first = random.integers(len(video) - clip_len + 1)
        y, x = random.integers(shape[1] - crop_size + 1, size=2)
        clip = video[first : first + clip_len, y : y + crop_size, x : x + crop_size]
        clip = clip[:, :, ::-1] if random.random() < 0.5 else clip
        clip = clip.astype(np.float32) / 255 * 2 - 1
        return np.ascontiguousarray(clip.transpose(3, 0, 1, 2))

    def load_windows() -> None:
        for index in random.integers(len(dataset), size=clips):
            dataset[int(index)]

    cases = [
        Case('whole array, floats in the loader', load_whole_array),
        Case('ours', load_windows, clips),
    ]
    size = f'{clip_len}x{crop_size}x{crop_size}'
    source = f'{args.gigabytes:g} GB of arrays, one process'
    return Plan(f'Training clips of {size} from {source}', 'clip', cases)


def end_to_end(args: argparse.Namespace, folder: Path) -> Plan:
    """From a video file to detections, by stage.

    Weights are random; all locations pass the score threshold, which is more work for
    the post-processing than a trained network leaves.
    """
    if args.video is None:
        raise UserError('end_to_end needs a video file: --video FILE')
    if not Path(args.video).is_file():
        raise UserError(f'--video {args.video} does not exist')
    model = build_model(args.configs[-1], args.device).eval()
    test_cfg = dict(nms=NMS, score_thr=0.0)
    side = round(args.crop_size * 7 / 6)  # 112 pixels for a crop of 96
    load = Compose([dict(type='LoadClip')])
    prepare = Compose(
        [
            dict(type='Resize', scale=(side, side), keep_ratio=False),
            dict(type='CenterCrop', crop_size=args.crop_size),
            dict(type='FormatShape', input_format='NCTHW'),
            dict(type='PackTALInputs'),
        ]
    )

    def collate(results: dict) -> dict:
        return model.data_preprocessor(pseudo_collate([prepare(results)]), False)

    def decode(raw: dict, sample: ActionDataSample) -> Segments:
        found = model.refine_head.predict_by_feat(
            raw, args.clip_len, [sample], test_cfg
        )
        sample.pred_instances = found[0]
        return predicted_segments(sample)

    duration_s = VideoReader(args.video).duration_s
    names = ('decode', 'preprocess', 'network', 'post-processing')
    stages = {name: Case(name, items=duration_s) for name in names}

    def timed(stage: str, function: Callable, *inputs: object) -> object:
        start = timer()
        outputs = function(*inputs)
        stages[stage].seconds[-1] += timer() - start
        return outputs

    @torch.inference_mode()
    def detect() -> Segments:
        for stage in stages.values():
            stage.seconds.append(0.0)
        reader = timed('decode', VideoReader, args.video)
        windows = video_windows(
            reader, 'video', sample_fps=SAMPLE_FPS, clip_len=args.clip_len
        )
        parts = []
        for window in windows:
            batch = timed('preprocess', collate, timed('decode', load, window))
            raw = timed('network', model, batch['inputs'])
            sample = batch['data_samples'][0]
            parts.append(timed('post-processing', decode, raw, sample))
        return timed('post-processing', merge_windows, parts, duration_s, test_cfg)

    size = f'{args.clip_len}x{args.crop_size}x{args.crop_size}'
    title = (
        f'{Path(args.configs[-1]).stem} on a video of {duration_s:.0f} s '
        f'({VideoReader(args.video).num_frames} frames), windows of {size} at '
        f'{SAMPLE_FPS} frames/s'
    )
    cases = [Case('all', detect)]
    return Plan(title, 'second', cases, stages=tuple(stages.values()))
