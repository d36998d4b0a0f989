"""From a folder of videos and an annotation to a trained and tested model."""

from __future__ import annotations

import math
import os
import random
import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from mmengine.config import Config

from ..datasets.converters import convert_annotations, describe_conversion
from ..datasets.sources import SourceFinder
from ..datasets.video import VideoReader, VideoReadError
from ..evaluation.diagnosis import diagnose
from ..evaluation.protocols import EvaluationData, load_evaluation_data
from ..structures import Segments, VideoAnnotation, load_annotations
from ..structures.annotations import summarize_problems
from ..structures.timebase import frames_to_seconds, seconds_to_frames
from ..utils import UserError, latest_checkpoint, write_json
from ..utils.errors import error_message
from ..utils.io import atomic_write
from .annotation_check import WindowSettings, check_annotations
from .batch_inference import find_videos
from .diagnosis_report import write_diagnosis
from .model_zoo import find_config
from .report import write_report
from .runner import load_config, prepare_test_config, prepare_train_config, test, train
from .writers import Selection, VideoResult, plot_timelines

TINY_MODEL = 'tal-mts_i3d-tiny_1xb4-128x48x48_synthetic'
"""Base of a training unless another is given; it needs no GPU."""
TRAINING, VALIDATION = 'training', 'validation'
# What a config gives to a training on own data; the rest is of the template.
_OF_BASE = ('custom_imports', 'find_unused_parameters', 'model', 'optim_wrapper')
_WARMUP_SHARE = 0.4
_FRAME_RATES = (1.0, 2.0, 3.0, 5.0, 10.0, 15.0, 25.0, 30.0)
_USUAL_FPS = 10.0
_CLIP_LENGTHS = (64, 96, 128, 192, 256, 384, 512)
_MIN_FRAMES = 8
_ITERATIONS = 600


def prepare_custom_training(
    videos: str | os.PathLike,
    annotations: str | os.PathLike,
    out: str | os.PathLike,
    base: str | os.PathLike = TINY_MODEL,
    *,
    init: str | None = None,
    val_fraction: float = 0.2,
    epochs: int | None = None,
    seed: int = 0,
    num_workers: int = 2,
) -> Path:
    """Checks the data, splits it, and writes annotation, check and config.

    Args:
        videos: Folder of the videos.
        annotations: File in any format of :func:`.convert_annotations`. Its subsets
            are kept if they are "training" and "validation".
        out: Folder of all results.
        base: Config that model and optimizer are taken from, or its name.
        init: Weights to start from.
        val_fraction: Share of the videos to hold out.
        epochs: Length of the training; by default by the amount of data.
        seed: Of the split.
        num_workers: Processes that load the data.

    Returns:
        Config file that ``tools/train.py`` takes.

    Raises:
        UserError: The data cannot be used, or the folder holds the checkpoints of
            another training.
    """
    out, videos = Path(out).absolute(), os.path.abspath(videos)
    if init is not None:
        if not os.path.isfile(init):
            raise UserError(f'--init {init}: no such file')
        init = os.path.abspath(init)
    base = load_config(find_config(base))
    converted = convert_annotations([annotations])
    # The videos tell their durations, and the split the subsets.
    told = re.compile('--(subset|durations) ')
    converted.notes = [note for note in converted.notes if not told.search(note)]
    print(describe_conversion(converted))
    content, ann_file = converted.content, out / 'annotations.json'
    _measure_videos(content['database'], videos)
    _assign_subsets(content['database'], val_fraction, seed)
    write_json(ann_file, content)
    # What cannot be repaired, stops here; the rest is reported and clamped.
    data = load_annotations(str(ann_file), on_invalid='clamp')
    subsets = {TRAINING: [], VALIDATION: []}
    for video in data.videos.values():
        subsets[video.subset].append(video)
    plan = _plan(subsets[TRAINING], data.classes, epochs)
    check = check_annotations(content, plan.windows, classes=data.classes)
    table = check.per_class[[*subsets]]
    for subset, own in subsets.items():
        seconds, count = sum(video.duration for video in own), table[subset].sum()
        print(f'{subset}: {len(own)} videos, {seconds:.0f} s, {count} actions')
    width = max(map(len, data.classes))
    for name, trained, held_out in table.itertuples(name=None):
        warning = '' if held_out else '  not in validation, so it does not count there'
        warning = warning if trained else '  no training example'
        print(f'  {name:<{width}} {trained:>5} {held_out:>5}{warning}')
    check_file, path = out / 'annotation_check.txt', out / 'config.py'
    _write(check_file, check.describe() + '\n')
    print(f'{check.describe_findings()}\n  the whole check: {check_file}')
    dataset = dict(ann_file=str(ann_file), data_prefix=dict(video=videos))
    dataset['classes'] = list(data.classes)
    print('\n'.join(f'  {reason}' for reason in plan.reasons))
    cfg = _build_config(base, plan, dataset, init, num_workers)
    head = ['Written by tools/train_custom.py.', *plan.reasons]
    text = ''.join(f'# {line}\n' for line in head) + cfg.pretty_text
    if latest_checkpoint(out / 'work_dir') is not None:
        if not path.is_file() or path.read_text(encoding='utf-8') != text:
            raise UserError(
                f'{out / "work_dir"} holds checkpoints of a training with other '
                'settings. Choose another --out, or delete that folder'
            )
    _write(path, text)
    print(f'wrote {path}')
    return path


def train_custom(config: str | os.PathLike, seed: int = 0) -> dict[str, Any]:
    """Trains, tests, and draws the results. An interrupted training goes on.

    Args:
        config: Config of :func:`prepare_custom_training`.
        seed: Of the training.

    Returns:
        ``mAP`` by name, and the paths ``checkpoint``, ``timeline``, ``diagnosis`` and
        ``reports``, the last with their number.
    """
    out, cfg = Path(config).parent, load_config(config)
    work_dir, reports = out / 'work_dir', out / 'reports'
    train(prepare_train_config(cfg, work_dir=str(work_dir), resume='auto', seed=seed))
    checkpoint, detections = latest_checkpoint(work_dir), out / 'detections.json'
    metrics = test(
        prepare_test_config(
            load_config(config, {'test_evaluator.dump_path': str(detections)}),
            checkpoint=checkpoint,
            work_dir=str(work_dir / 'test'),
        )
    )
    files, timeline = (out / 'annotations.json', detections), out / 'timeline.png'
    title, clamp = 'held-out videos', dict(on_invalid='clamp')
    videos = cfg.test_dataloader.dataset.data_prefix.video
    plot_timelines(*files, timeline, video_dir=videos, title=title, **clamp)
    data = load_evaluation_data(*files, subset=VALIDATION, **clamp)
    diagnosis = diagnose(data.classes, data.ground_truth, data.detections)
    _, page = write_diagnosis(out / 'diagnosis', diagnosis, f'{out.name}: {title}', 0.1)
    pages = _write_reports(data, videos, reports)
    return {
        'mAP': {name: float(value) for name, value in metrics.items()},
        'checkpoint': str(work_dir / Path(checkpoint).name),
        'timeline': str(timeline),
        'diagnosis': str(page),
        'reports': f'{reports}, {len(pages)} of {len(data.ground_truth)} videos',
    }


def _write_reports(data: EvaluationData, video_dir: str, out_dir: Path) -> list[Path]:
    """Writes the page of ``tools/infer.py`` for each video that can be shown.

    Sliders stand where as many detections are left as there are annotated actions,
    because scores depend on how long a model was trained.
    """
    videos, nothing = data.ground_truth, Segments.empty(with_scores=True)
    found = {name: data.detections.get(name, nothing) for name in videos}
    count = sum(len(video.actions) for video in videos.values())
    best = np.sort(np.concatenate([f.scores for f in found.values()]))[::-1][:count]
    # Rounded down to the slider's steps.
    score = {'score_thr': math.floor(100 * min(best[-1], 1)) / 100} if len(best) else {}
    selection, pages = Selection(**score), []
    paths = {os.path.join(video_dir, v.file): v for v in videos.values()}
    for name, path in find_videos(list(paths)).items():
        video, page = paths[path], out_dir / f'{name}.html'
        try:
            facts = video.video_id, video.duration, found[video.video_id], video.actions
            start = VideoReader(path).first_frame_s
            more = dict(classes=data.classes, path=path, first_frame_s=start)
            write_report(VideoResult(*facts, **more), page, selection)
            pages.append(page)
        # Whatever is wrong with this video, the next one may be fine.
        except Exception as error:
            print(f'no report of {video.video_id}: {error_message(error)}')
    return pages


def _measure_videos(database: dict[str, dict], video_dir: str) -> None:
    """Sets "file" (in the folder), "duration" and "fps" of each entry by its video."""
    if not os.path.isdir(video_dir):
        raise UserError(f'{video_dir}: no such folder of videos')
    finder, problems, taken = SourceFinder(video_dir, 'video'), defaultdict(list), {}
    for name, entry in database.items():
        path = finder.find(name, entry.get('file')) or finder.find(name, name)
        if path is None:
            problems['are missing'].append(finder.expected(name, entry.get('file')))
        elif taken.setdefault(path, name) != name:
            text = f'{taken[path]} and {name}: {path}'
            problems['have the file of another one'].append(text)
        else:
            entry['file'] = os.path.relpath(path, video_dir)
            try:
                video = VideoReader(path)
                entry.update(duration=video.duration_s, fps=video.fps)
            except VideoReadError as error:
                problems['cannot be read'].append(str(error))
    for what, found in sorted(problems.items()):
        raise UserError(
            f'{len(found)} of {len(database)} videos {what}\n'
            f'{summarize_problems(found)}\n'
            'Correct the names in the annotation, or leave these videos out.'
        )


def _assign_subsets(database: dict[str, dict], fraction: float, seed: int) -> None:
    """Sets the "subset" of each entry, so that each class stays in training.

    Videos with a class that validation lacks are held out first; the rest is drawn by
    chance. Subsets that are training and validation already are kept.
    """
    given = {entry.get('subset') or '' for entry in database.values()}
    if given == {TRAINING, VALIDATION}:
        return
    if not 0 < fraction < 1:
        raise UserError(f'--val-fraction {fraction}: must be between 0 and 1')
    if given != {''}:
        names = ', '.join(sorted(name or '(none)' for name in given))
        print(
            f'subsets {names} of the annotation are split anew; they would be kept if '
            f'they were {TRAINING} and {VALIDATION}'
        )
    order = sorted(database)
    random.Random(seed).shuffle(order)
    labels = {n: {a['label'] for a in database[n]['annotations']} for n in order}
    wanted = max(1, round(fraction * len(order)))
    # The number of training videos that each class is still in.
    left = Counter(label for own in labels.values() for label in own)
    held_out, seen = set(), set()
    for new_only in (True, False):
        for name, own in labels.items():
            useful = own and name not in held_out and not (new_only and own <= seen)
            if useful and len(held_out) < wanted and all(left[x] > 1 for x in own):
                held_out.add(name)
                seen |= own
                left.subtract(own)
    if not held_out:
        raise UserError(
            f'none of the {len(order)} videos can be held out for validation: each has '
            'a class that no other video has. Annotate a second video of some class, '
            'or give "subset" ("training", "validation") in a JSON annotation'
        )
    for name, entry in database.items():
        entry['subset'] = VALIDATION if name in held_out else TRAINING


class _Plan(NamedTuple):
    """Settings of a training, and why they are so, a line for each."""

    windows: WindowSettings
    batch_size: int
    epochs: int
    mirror: bool
    reasons: tuple[str, ...]


def _plan(
    videos: Sequence[VideoAnnotation], classes: Sequence[str], epochs: int | None = None
) -> _Plan:
    """Chooses settings by the lengths of the actions of the training videos."""
    lengths = np.concatenate([np.diff(v.actions.segments)[:, 0] for v in videos])
    if not len(lengths):
        raise UserError('no training video has a usable action; annotate at least one')
    short, usual, long = np.quantile(lengths, [0.1, 0.5, 0.95])
    longest, largest = lengths.max(), _CLIP_LENGTHS[-1]

    # The rate at which short actions have enough frames and long ones fit.
    source_fps = min(video.fps for video in videos)
    rates = [rate for rate in _FRAME_RATES if rate <= source_fps + 0.1] or [1.0]
    high = [rate for rate in rates if rate >= _USUAL_FPS]
    enough = (r for r in high if seconds_to_frames(short, r) >= _MIN_FRAMES)
    fitting = [r for r in rates if seconds_to_frames(1.05 * longest, r) <= largest]
    wanted = next(enough, rates[-1])
    fps = min(wanted, max(fitting, default=rates[0]))
    short_f, longest_f = seconds_to_frames(short, fps), seconds_to_frames(longest, fps)
    why_fps = f'a short action ({short:.2f} s) has {short_f:.0f} frames'
    if fps < wanted:
        why_fps = f'the longest action ({longest:.0f} s) has {longest_f:.0f} frames '
        why_fps += f'and fits into a window of {largest}'

    # Longer than the longest video is nothing but padding.
    needed_s = min(max(1.5 * long, 1.05 * longest), max(v.duration for v in videos))
    needed = seconds_to_frames(needed_s, fps)
    clip_len = next((n for n in _CLIP_LENGTHS if n >= needed), largest)
    why_clip = f'the largest; the longest action has {longest_f:.0f} frames'
    if clip_len >= needed:
        why_clip = f'holds the longest action ({longest_f:.0f} frames) and what '
        why_clip += 'surrounds the usual ones'

    # Each level halves the one before without a rest.
    stride = WindowSettings.first_stride
    positions = clip_len // stride
    possible = (positions & -positions).bit_length()
    useful = 1 + math.floor(math.log2(max(longest_f / stride, 1)))
    levels = min(max(useful, 3), possible)
    windows = WindowSettings(clip_len, fps, clip_len // 4, num_levels=levels)
    count = sum(len(windows.cut(video)[1]) for video in videos)
    batch = int(np.clip(round(4 * 128 / clip_len), 1, 8))
    batch = max(1, min(batch, count // 4))
    iterations = max(count // batch, 1)
    why_epochs = f'as asked for, {iterations} iterations each'
    if epochs is None:
        epochs = int(np.clip(math.ceil(_ITERATIONS / iterations), 5, 100))
        why_epochs = f'about {_ITERATIONS} iterations of {iterations} each epoch'

    words = set(re.split('[^a-z]+', ' '.join(classes).lower()))
    mirror = words.isdisjoint({'left', 'right', 'clockwise', 'anticlockwise'})
    kept = 'not mirrored: a class name tells left from right'
    reasons = (
        f'{len(lengths)} actions of {lengths.min():.2f} to {longest:.2f} s, half of '
        f'them up to {usual:.2f} s',
        f'sample_fps {fps:g}: {why_fps}',
        f'clip_len {clip_len} ({frames_to_seconds(clip_len, fps):.1f} s): {why_clip}',
        f'num_levels {levels}: locations every {stride} to {stride << (levels - 1)} '
        f'frames, for actions of {short_f:.0f} to {longest_f:.0f} frames',
        f'batch_size {batch}: as many frames as 4 windows of 128, from {count} '
        'training windows',
        f'epochs {epochs}: {why_epochs}',
        f'windows are {"mirrored by chance" if mirror else kept}',
    )
    return _Plan(windows, batch, epochs, mirror, reasons)


def _write(path: Path, text: str) -> None:
    with atomic_write(path) as temporary:
        temporary.write_text(text, encoding='utf-8')


def _build_config(
    base: Config, plan: _Plan, dataset: dict[str, Any], init: str | None, workers: int
) -> Config:
    """Fits model and optimizer of a base config, and the template, to data and plan."""
    taken = {key: base[key] for key in _OF_BASE if key in base}
    model = taken.get('model', {})
    if model.get('type') != 'TALMTS' or not model.get('neck', {}).get('stt'):
        raise UserError(
            f'config {base.filename}: training on own data needs a TALMTS with an STT, '
            'such as configs/tal_mts/*.py'
        )
    windows, epochs, stt = plan.windows, plan.epochs, model['neck']['stt']
    # The warm-up of the backbone stands in for weights to start from.
    if init is not None:
        model['warmup_head'] = None
    coarse, has_warmup = model['coarse_head'], bool(model.get('warmup_head'))
    stt['clip_len'] = windows.clip_len
    for part in (model['neck']['pyramid'], stt, coarse):
        part['num_levels'] = windows.num_levels
    for head in (coarse, model['refine_head'], *[model['warmup_head']] * has_warmup):
        head['num_classes'] = len(dataset['classes'])
    if coarse.get('distance_factors') is not None:
        strides = 2 ** np.arange(windows.num_levels) * stt.get('first_stride', 4)
        coarse['distance_factors'] = strides.tolist()
    warmup = round(_WARMUP_SHARE * epochs) * has_warmup
    hooks = [dict(type='BackboneWarmupHook', num_epochs=warmup)] * has_warmup
    taken.update(load_from=init, custom_hooks=hooks)
    cfg = load_config(find_config(TINY_MODEL).parents[1] / '_base_/custom_training.py')
    cfg.merge_from_dict(taken)
    crop = stt['crop_size']
    steps = {'RandomCrop': dict(size=crop), 'CenterCrop': dict(crop_size=crop)}
    mean = model.get('data_preprocessor', {}).get('mean', [127.5])
    steps['LoadClip'] = dict(scale=(round(crop * 1.125),) * 2, pad_value=mean)
    dataset.update(sample_fps=windows.sample_fps, clip_len=windows.clip_len)
    for loader, stride in (
        (cfg.train_dataloader, windows.stride),
        (cfg.val_dataloader, windows.clip_len // 2),
    ):
        loader.update(batch_size=plan.batch_size, num_workers=workers)
        loader.persistent_workers = workers > 0
        pipeline = [
            dict(step, **steps.get(step.type, {}))
            for step in loader.dataset.pipeline
            if plan.mirror or step.type != 'FlipClip'
        ]
        loader.dataset.update(dataset, window_stride=stride, pipeline=pipeline)
    cfg.val_evaluator.ann_file = dataset['ann_file']
    cfg.test_dataloader, cfg.test_evaluator = cfg.val_dataloader, cfg.val_evaluator
    cfg.train_cfg.update(max_epochs=epochs, val_interval=max(epochs // 3, 1))
    cfg.param_scheduler[1].update(begin=warmup, T_max=epochs - warmup, end=epochs)
    return cfg
