"""What benchmark.py measures: for each benchmark the alternatives that do the work."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import torch
from mmaction.registry import MODELS
from mmaction.structures import ActionDataSample
from mmengine.dataset import Compose, pseudo_collate
from mmengine.registry import init_default_scope
from mmengine.structures import InstanceData
from torch import Tensor, nn

from mmtal_mts.apis import load_config
from mmtal_mts.datasets import TALDataset
from mmtal_mts.datasets.video import VideoReader
from mmtal_mts.datasets.windows import video_windows
from mmtal_mts.evaluation.functional import mean_ap, post_processing
from mmtal_mts.ops import boundary_pooling as pooling
from mmtal_mts.ops import compiled_ops_problem
from mmtal_mts.structures import Segments
from mmtal_mts.structures.timebase import frames_to_seconds
from mmtal_mts.utils import UserError, write_json

ROOT = Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT / 'tests'))
try:
    import plain_baselines as plain
except ImportError as error:
    sys.exit(f'error: {error}. Remedy: use a clone of the repository, which has tests/')

AFSD = str(ROOT / 'configs/_base_/models/afsd_i3d_thumos14.py')
TAL_MTS = str(ROOT / 'configs/_base_/models/tal-mts_i3d.py')
SAMPLE_FPS = 10
THRESHOLDS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7)
NMS = dict(method='gaussian', sigma=0.5, min_score=0.001)


@dataclass
class Case:
    """One way to do the work, or one stage of it, and what was measured.

    Attributes:
        items: How much of the work a run does; a slow alternative may do less.
        peak_bytes: The largest memory that a run took on top of what was held before
            it (resident on a CPU, allocated on a GPU); None where it is not known.
    """

    name: str
    run: Callable[[], object] | None
    items: float = 1.0
    seconds: list[float] = field(default_factory=list)
    peak_bytes: int | None = None


@dataclass
class Section:
    """A benchmark: its cases, of which the first is the baseline, or all are stages."""

    title: str
    unit: str
    cases: list[Case]
    notes: list[str] = field(default_factory=list)
    is_staged: bool = False


def build_model(config: str, device: torch.device | str = 'cpu') -> nn.Module:
    """Builds the model of a config with random weights."""
    cfg = load_config(config)
    if 'model' not in cfg:
        raise UserError(f'config {config} has no model. Remedy: give another one')
    init_default_scope('mmaction')
    cfg.model.backbone.pop('pretrained', None)
    torch.manual_seed(0)
    return MODELS.build(cfg.model).to(device)


def networks(args: argparse.Namespace, folder: Path, *, train: bool) -> Section:
    """One clip through the plain network and ours; or a step: both ways and Adam."""
    device = torch.device(args.device)
    models = {Path(config).stem: build_model(config, device) for config in args.configs}
    slow = plain.make_plain(build_model(args.baseline, device))
    models = {f'plain {Path(args.baseline).stem}': slow} | models
    # A short, a medium and a long action.
    share = torch.tensor([[0.1, 0.15], [0.3, 0.5], [0.4, 0.95]], device=device)
    labels = torch.zeros(3, dtype=torch.long, device=device)
    sample = ActionDataSample()
    sample.gt_instances = InstanceData(segments=share * args.clip_len, labels=labels)

    def infer(model: nn.Module, frames: Tensor) -> None:
        with torch.inference_mode(), torch.autocast(device.type, enabled=args.amp):
            model(frames)

    def step(model: nn.Module, frames: Tensor, optimizer: torch.optim.Adam) -> None:
        with torch.autocast(device.type, enabled=args.amp):
            losses = model(frames, [sample], mode='loss')
        sum(losses.values()).backward()
        optimizer.step()
        # Not held while another model has its turn.
        optimizer.zero_grad(set_to_none=True)

    size = (args.clip_len, args.crop_size, args.crop_size)
    cases = []
    for name, model in models.items():
        shape = (1, model.train(train).backbone.in_channels, *size)
        frames = torch.rand(shape, generator=torch.Generator().manual_seed(0))
        frames = (frames * 2 - 1).to(device)
        work = partial(infer, model, frames)
        if train:
            parameters = [p for p in model.parameters() if p.requires_grad]
            optimizer = torch.optim.Adam(parameters, lr=1e-5, weight_decay=1e-3)
            work = partial(step, model, frames, optimizer)
        cases.append(Case(name, work, 1 if train else args.clip_len))
    what = 'Training step without consistency loss' if train else 'Forward pass'
    amp = ' under autocast' if args.amp else ''
    title = f'{what} on one clip of {"x".join(map(str, size))}{amp}'
    return Section(title, 'step' if train else 'frame', cases)


def boundary_pooling(args: argparse.Namespace, folder: Path) -> Section:
    """The pooling of 256 frames, which have 126 locations, forward and backward."""
    channels, num_frames, count = 1024, 256, 126
    random = dict(generator=torch.Generator().manual_seed(0))
    features = torch.randn(1, channels, num_frames, **random)
    features = features.to(args.device).requires_grad_()
    centre = torch.rand(1, count, 1, **random) * num_frames
    length = torch.rand(1, count, 1, **random) * num_frames / 2 + 4
    shifts = torch.tensor([-0.6, -0.25, 0.25, 0.6])  # of a length: 1/10 out, 1/4 in
    segments = (centre + length * shifts).round().to(args.device)
    weight = torch.randn(1, channels, count, **random).to(args.device)

    def run(pool: Callable) -> None:
        features.grad = None
        pool(features, segments).backward(weight)

    ways = {
        'loop over the segments': plain.pool_segment_by_segment,
        'vectorised torch': pooling.vectorized_max_pooling,
    }
    if compiled_ops_problem(torch.device(args.device).type) is None:
        ways['compiled'] = pooling.compiled_max_pooling
    cases = [Case(name, partial(run, pool)) for name, pool in ways.items()]
    title = f'{count} segments on {channels} channels of {num_frames} frames'
    return Section(f'Forward and backward of {title}', 'pass', cases)


def soft_nms(args: argparse.Namespace, folder: Path) -> Section:
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
    inputs = first.segments.tolist(), first.scores.tolist()
    settings = dict(nms=NMS, clamp=False)
    ours = partial(post_processing.merge_windows, [found], None, settings)
    cases = [
        Case('Python loop', partial(plain.soft_nms_in_python, *inputs)),
        Case('ours, all classes', ours, num_classes),
    ]
    title = (
        f'Gaussian soft-NMS of {num_segments:,} segments of each of {num_classes} '
        f'classes over {duration_s} s'
    )
    note = 'The loop runs on one class, ours on all; times are per class.'
    return Section(title, 'class', cases, notes=[note])


def evaluation(args: argparse.Namespace, folder: Path) -> Section:
    """Mean average precision of a whole data set of the size of THUMOS14's test set."""
    truth, found = plain.random_results(42_227, 210, 3311, 20)
    inputs = truth, found, 20, THRESHOLDS
    cases = [
        Case('data frames', partial(plain.evaluate_data_frames, *inputs)),
        Case('ours', partial(mean_ap.mean_average_precision, *inputs)),
    ]
    title = 'mAP of 42,227 detections, 3,311 segments, 20 classes, 7 thresholds'
    return Section(title, 'evaluation', cases)


def data(args: argparse.Namespace, folder: Path, clips: int = 20) -> Section:
    """Loads training clips of arrays of zeros that take no space on the disk."""
    clip_len, crop_size = args.clip_len, args.crop_size
    if args.gigabytes <= 0:
        raise UserError(f'--gigabytes {args.gigabytes} must be positive')
    shape = (max(2660, clip_len), 112, 112, 3)
    count = max(round(args.gigabytes * 1e9 / np.prod(shape, dtype=np.float64)), 1)
    duration = float(frames_to_seconds(shape[0], SAMPLE_FPS))
    starts = np.arange(1, duration - 10, 20).tolist()
    actions = [dict(segment=[start, start + 8], label='action') for start in starts]
    entry = dict(subset='training', duration=duration, annotations=actions)
    paths = [folder / f'video_{i:04d}.npy' for i in range(count)]
    for path in paths:
        # Sized by a seek: the blocks of a file that were never written do not exist.
        np.lib.format.open_memmap(path, 'w+', np.uint8, shape)
    content = dict(classes=['action'], database={path.stem: entry for path in paths})
    write_json(folder / 'annotations.json', content)
    settings = dict(source_type='npy', sample_fps=SAMPLE_FPS, clip_len=clip_len)
    settings['pipeline'] = [
        dict(type='LoadClip', pad_value=0),
        dict(type='RandomCrop', size=crop_size),
        dict(type='FlipClip', flip_ratio=0.5),
        dict(type='CutInsertBackground'),
        dict(type='FormatShape', input_format='NCTHW'),
        dict(type='PackTALInputs'),
    ]
    dataset = TALDataset('annotations.json', str(folder), **settings)
    random = np.random.default_rng(0)

    def load_windows() -> None:
        for index in random.integers(len(dataset), size=clips):
            dataset[int(index)]

    def load_array() -> np.ndarray:
        path = paths[random.integers(count)]
        return plain.load_whole_array(path, clip_len, crop_size, random)

    cases = [
        Case('whole array, floats in the loader', load_array),
        Case('ours', load_windows, clips),
    ]
    size = f'{clip_len}x{crop_size}x{crop_size}'
    source = f'{args.gigabytes:g} GB of arrays, one process'
    return Section(f'Training clips of {size} from {source}', 'clip', cases)


def end_to_end(args: argparse.Namespace, folder: Path) -> Section:
    """From a video file to detections, by stage.

    Weights are random; all locations pass the score threshold, which is more work for
    the post-processing than a trained network leaves.
    """
    if args.video is None:
        raise UserError('end_to_end needs a video file: --video FILE')
    if not Path(args.video).is_file():
        raise UserError(f'--video {args.video} does not exist')
    model = build_model(args.configs[-1], args.device).eval()
    settings = dict(nms=NMS, score_thr=0.0)
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

    def decode() -> list[dict]:
        reader = VideoReader(args.video)
        lengths = dict(sample_fps=SAMPLE_FPS, clip_len=args.clip_len)
        return [load(window) for window in video_windows(reader, 'video', **lengths)]

    def preprocess() -> list[dict]:
        collated = (pseudo_collate([prepare(dict(clip))]) for clip in clips)
        return [model.data_preprocessor(batch, False) for batch in collated]

    @torch.inference_mode()
    def detect() -> list[dict[str, Tensor]]:
        return [model(batch['inputs']) for batch in batches]

    @torch.inference_mode()
    def post_process() -> Segments:
        parts, predict = [], model.refine_head.predict_by_feat
        for raw, batch in zip(outputs, batches, strict=True):
            (sample,) = batch['data_samples']
            (found,) = predict(raw, args.clip_len, [sample], settings)
            sample.pred_instances = found
            parts.append(post_processing.predicted_segments(sample))
        return post_processing.merge_windows(parts, video.duration_s, settings)

    video = VideoReader(args.video)
    # What a stage works on is the result of the stage before.
    clips = decode()
    batches = preprocess()
    outputs = detect()
    names = ('decode', 'preprocess', 'network', 'post-processing')
    stages = zip(names, (decode, preprocess, detect, post_process), strict=True)
    cases = [Case(name, run, video.duration_s) for name, run in stages]
    title = (
        f'{Path(args.configs[-1]).stem} on a video of {video.duration_s:.0f} s '
        f'({video.num_frames} frames), windows of '
        f'{args.clip_len}x{args.crop_size}x{args.crop_size} at {SAMPLE_FPS} frames/s'
    )
    return Section(title, 'second', cases, is_staged=True)


BENCHMARKS = {
    'inference': partial(networks, train=False),
    'train': partial(networks, train=True),
    'boundary_pooling': boundary_pooling,
    'soft_nms': soft_nms,
    'evaluation': evaluation,
    'data': data,
    'end_to_end': end_to_end,
}
