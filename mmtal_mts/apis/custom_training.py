"""From a folder of videos and an annotation to a trained and tested model."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.config import Config

from ..datasets.converters import convert_annotations
from ..datasets.video import VideoReader
from ..evaluation.diagnosis import diagnose
from ..evaluation.functional.detections import load_detections
from ..structures import Segments, load_annotations
from ..utils import UserError, latest_checkpoint, write_json
from ..utils.errors import error_message
from ..utils.io import atomic_write
from .annotation_check import CheckSettings, WindowSettings, check_annotations
from .annotation_report import describe_check, describe_findings
from .batch_inference import find_videos
from .custom_data import (
    TRAINING,
    VALIDATION,
    TrainingPlan,
    assign_subsets,
    describe_subsets,
    measure_videos,
    plan_training,
)
from .diagnosis_report import write_diagnosis
from .evaluation import load_evaluation_data
from .report import HtmlReportWriter
from .runner import (
    load_config,
    prepare_test_config,
    prepare_train_config,
    test,
    train,
)
from .timeline import plot_timelines
from .writers import Selection, VideoResult

_PACKAGE = Path(__file__).resolve().parents[1]
# What a config gives to a training on own data; the rest is of the template.
_OF_BASE = ('custom_imports', 'find_unused_parameters', 'model', 'optim_wrapper')
_WARMUP_SHARE = 0.4


def prepare_custom_training(
    videos: str | os.PathLike,
    annotations: str | os.PathLike,
    out: str | os.PathLike,
    base: str | os.PathLike,
    *,
    init: str | None = None,
    val_fraction: float = 0.2,
    epochs: int | None = None,
    seed: int = 0,
    num_workers: int = 2,
    log: Callable[[str], None] = print,
) -> Path:
    """Checks the data, splits it, and writes annotation, check and config.

    Args:
        videos: Folder of the videos.
        annotations: File in any format of :func:`.convert_annotations`. Its subsets
            are kept if they are "training" and "validation".
        out: Folder of all results.
        base: Config that model and optimizer are taken from.
        init: Weights to start from.
        val_fraction: Share of the videos to hold out.
        epochs: Length of the training.
        seed: Of the split.
        num_workers: Processes that load the data.
        log: Gets the report, line by line.

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
    base = load_config(base)
    converted = convert_annotations([annotations])
    for reason, places in converted.dropped.items():
        log(f'{len(places)} annotations left out ({reason}), e.g. {places[0]}')
    for video_id, reason in converted.removed_videos.items():
        log(f'video {video_id} left out: {reason}')
    content = converted.content
    content['database'] = measure_videos(content['database'], videos)
    assign_subsets(content['database'], val_fraction, seed, log)
    ann_file = out / 'annotations.json'
    write_json(ann_file, content)
    # What cannot be repaired, stops here; the rest is reported and clamped.
    data = load_annotations(str(ann_file), on_invalid='clamp')
    log(describe_subsets(data))

    training = [v for v in data.videos.values() if v.subset == TRAINING]
    plan = plan_training(
        [video.actions.segments for video in training],
        [video.duration for video in training],
        min(video.fps for video in training),
        epochs,
    )
    windows = WindowSettings(
        clip_len=plan.clip_len,
        sample_fps=plan.sample_fps,
        stride=plan.window_stride,
        num_levels=plan.num_levels,
    )
    check = check_annotations(content, CheckSettings(windows, data.classes))
    check_file = out / 'annotation_check.txt'
    _write(check_file, describe_check(check) + '\n')
    log(f'{describe_findings(check.findings)}\n  the whole check: {check_file}')
    mirror = mirror_is_safe(data.classes)
    mirrored = 'mirrored by chance'
    if not mirror:
        mirrored = 'not mirrored: a class name tells left from right'
    reasons = (*plan.reasons, f'windows are {mirrored}')
    log('\n'.join(f'  {reason}' for reason in reasons))
    cfg = load_config(_template())
    cfg.merge_from_dict(_model_config(base, plan, len(data.classes), init))
    dataset = dict(ann_file=str(ann_file), data_prefix=dict(video=videos))
    dataset['classes'] = list(data.classes)
    _fill_in(cfg, plan, dataset, mirror, num_workers)
    text = config_comment(['Written by tools/train_custom.py.', *reasons])
    text += cfg.pretty_text
    path = out / 'config.py'
    same = path.is_file() and path.read_text(encoding='utf-8') == text
    if not same and latest_checkpoint(out / 'work_dir') is not None:
        raise UserError(
            f'{out / "work_dir"} holds checkpoints of a training with other settings. '
            'Choose another --out, or delete that folder'
        )
    _write(path, text)
    log(f'wrote {path}')
    return path


def train_custom(
    config: str | os.PathLike, seed: int = 0, log: Callable[[str], None] = print
) -> dict[str, Any]:
    """Trains, tests, and draws what came out. An interrupted training goes on.

    Args:
        config: Config of :func:`prepare_custom_training`.
        seed: Of the training.
        log: Gets what could not be drawn, line by line.

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
            load_config(config),
            checkpoint=checkpoint,
            work_dir=str(work_dir / 'test'),
            cfg_options={'test_evaluator.dump_path': str(detections)},
        )
    )
    videos = cfg.test_dataloader.dataset.data_prefix.video
    ann_file, timeline = out / 'annotations.json', out / 'timeline.png'
    title, clamp = 'held-out videos', dict(on_invalid='clamp')
    plot_timelines(
        ann_file, detections, timeline, video_dir=videos, title=title, **clamp
    )
    data = load_evaluation_data(ann_file, detections, subset=VALIDATION, **clamp)
    diagnosis = diagnose(data.classes, data.ground_truth, data.detections)
    _, page = write_diagnosis(out / 'diagnosis', diagnosis, f'{out.name}: {title}', 0.1)
    pages = write_reports(ann_file, detections, videos, reports, VALIDATION, log)
    return {
        'mAP': {name: float(value) for name, value in metrics.items()},
        'checkpoint': str(work_dir / Path(checkpoint).name),
        'timeline': str(timeline),
        'diagnosis': str(page),
        'reports': f'{reports}, {len(pages)} of {len(data.ground_truth)} videos',
    }


def write_reports(
    ann_file: str | os.PathLike,
    detection_file: str | os.PathLike,
    video_dir: str | os.PathLike,
    out_dir: str | os.PathLike,
    subset: str,
    log: Callable[[str], None] = print,
) -> list[Path]:
    """Writes the page of ``tools/infer.py`` for each video of a subset.

    Sliders stand where as many detections are left as there are annotated actions,
    because scores depend on how long a model was trained. A video that cannot be shown
    costs a line of the log.

    Args:
        ann_file: Native annotation, as :func:`.measure_videos` leaves it.
        detection_file: Detections that the test metric wrote.
        video_dir: Folder of the videos.
        out_dir: Folder of the pages.
        subset: Subset of the annotation.
        log: Gets a line for each video that fails.

    Returns:
        The pages, in the order of the annotation.
    """
    annotations = load_annotations(
        os.fspath(ann_file), subsets=subset, on_invalid='clamp'
    )
    videos, nothing = annotations.videos, Segments.empty(with_scores=True)
    found = load_detections(detection_file, annotations.classes)
    found = {name: found.get(name, nothing) for name in videos}
    count = sum(len(video.actions) for video in videos.values())
    best = np.sort(np.concatenate([f.scores for f in found.values()]))[::-1][:count]
    # Rounded down to the slider's steps.
    shown = [Selection(math.floor(100 * min(best[-1], 1)) / 100)] if len(best) else []
    writer = HtmlReportWriter(*shown or [Selection()])
    paths = {os.path.join(video_dir, v.file): v for v in videos.values()}
    pages = []
    for name, path in find_videos(list(paths)).items():
        video = paths[path]
        page = Path(out_dir) / f'{name}{writer.suffix}'
        try:
            result = VideoResult(
                video.video_id,
                found[video.video_id],
                annotations.classes,
                video.duration,
                path,
                video.actions,
                first_frame_s=VideoReader(path).first_frame_s,
            )
            writer.write(result, page)
            pages.append(page)
        # Whatever is wrong with this video, the next one may be fine.
        except Exception as error:
            log(f'no report of {video.video_id}: {error_message(error)}')
    return pages


def config_comment(lines: Sequence[str]) -> str:
    """Lines as a comment, which none of them may end: class names hold anything."""
    return ''.join(f'# {" ".join(line.split())}\n' for line in lines)


def mirror_is_safe(classes: Sequence[str]) -> bool:
    """Whether windows may be mirrored: no class name tells left from right."""
    words = (word for name in classes for word in re.split(r'[^a-z]+', name.lower()))
    return not {'left', 'right', 'clockwise', 'anticlockwise'} & set(words)


def _write(path: Path, text: str) -> None:
    with atomic_write(path) as temporary:
        temporary.write_text(text, encoding='utf-8')


def _model_config(
    base: Config, plan: TrainingPlan, num_classes: int, init: str | None
) -> dict[str, Any]:
    """Model, optimizer and warm-up of a base config, fitted to the data."""
    cfg = {key: base[key] for key in _OF_BASE if key in base}
    model = cfg.get('model', {})
    if model.get('type') != 'TALMTS' or not model.get('neck', {}).get('stt'):
        raise UserError(
            f'config {base.filename}: training on own data needs a TALMTS with an STT, '
            'such as configs/tal_mts/*.py'
        )
    neck, coarse, levels = model['neck'], model['coarse_head'], plan.num_levels
    neck['pyramid']['num_levels'] = levels
    neck['stt'].update(clip_len=plan.clip_len, num_levels=levels)
    coarse.update(num_classes=num_classes, num_levels=levels)
    if coarse.get('distance_factors') is not None:
        first = neck['stt'].get('first_stride', 4)
        coarse['distance_factors'] = [first * 2**n for n in range(levels)]
    model['refine_head']['num_classes'] = num_classes
    # The warm-up of the backbone stands in for weights to start from.
    if init is not None:
        model['warmup_head'] = None
    cfg.update(load_from=init, custom_hooks=[])
    if model.get('warmup_head'):
        model['warmup_head']['num_classes'] = num_classes
        epochs = round(_WARMUP_SHARE * plan.epochs)
        cfg['custom_hooks'] = [dict(type='BackboneWarmupHook', num_epochs=epochs)]
    return cfg


def _fill_in(
    cfg: Config, plan: TrainingPlan, data: dict[str, Any], mirror: bool, workers: int
) -> None:
    """Writes data and plan into ``configs/_base_/custom_training.py``."""
    crop = cfg.model.neck.stt.crop_size
    size = round(crop * 1.125)
    steps = dict(
        LoadClip=dict(scale=(size, size)),
        RandomCrop=dict(size=crop),
        CenterCrop=dict(crop_size=crop),
    )
    strides = plan.window_stride, plan.clip_len // 2
    for loader, stride in zip(
        (cfg.train_dataloader, cfg.val_dataloader), strides, strict=True
    ):
        loader.update(batch_size=plan.batch_size, num_workers=workers)
        loader.persistent_workers = workers > 0
        loader.dataset.update(
            data,
            sample_fps=plan.sample_fps,
            clip_len=plan.clip_len,
            window_stride=stride,
            pipeline=[
                dict(step, **steps.get(step.type, {}))
                for step in loader.dataset.pipeline
                if mirror or step.type != 'FlipClip'
            ],
        )
    cfg.val_evaluator.ann_file = data['ann_file']
    cfg.test_dataloader, cfg.test_evaluator = cfg.val_dataloader, cfg.val_evaluator
    epochs = plan.epochs
    cfg.train_cfg.update(max_epochs=epochs, val_interval=max(epochs // 3, 1))
    warmup = sum(hook.num_epochs for hook in cfg.custom_hooks)
    cfg.param_scheduler[1].update(begin=warmup, T_max=epochs - warmup, end=epochs)


def _template() -> Path:
    """Beside the package in a clone, in it in a wheel."""
    name = 'configs/_base_/custom_training.py'
    clone, wheel = _PACKAGE.parent / name, _PACKAGE / '.mim' / name
    return clone if clone.is_file() else wheel
