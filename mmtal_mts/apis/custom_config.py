"""The config of a training on somebody's own data."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence

from mmengine.config import Config

from mmtal_mts.apis.custom_plan import TrainingPlan
from mmtal_mts.datasets.own_data import TRAINING, VALIDATION
from mmtal_mts.utils import UserError

_KEPT = (
    'custom_imports',
    'default_scope',
    'default_hooks',
    'env_cfg',
    'log_processor',
    'vis_backends',
    'visualizer',
    'log_level',
    'resume',
    'find_unused_parameters',
    'model',
    'optim_wrapper',
    'val_cfg',
    'test_cfg',
)
_WARMUP_SHARE = 0.4
_LINEAR_ITERATIONS = 40


def custom_config(
    base: Config,
    plan: TrainingPlan,
    classes: Sequence[str],
    ann_file: str | os.PathLike,
    video_dir: str | os.PathLike,
    init: str | None = None,
    num_workers: int = 2,
) -> Config:
    """Write the data and the plan into a config.

    Args:
        base (Config): Model, optimizer and runtime; its model must be a TALMTS whose
            neck has an STT, as in ``configs/tal_mts``.
        plan (TrainingPlan): Settings.
        classes (Sequence[str]): Names of the labels.
        ann_file (str | os.PathLike): Annotation in the native format.
        video_dir (str | os.PathLike): Folder of the videos.
        init (str, optional): Weights to start from; the warm-up of the backbone, which
            stands in for them, is left out then.
        num_workers (int): Processes that load the data.

    Returns:
        Config: Complete, without a base.

    Raises:
        UserError: If the base is another model.
    """
    cfg = {key: base[key] for key in _KEPT if key in base}
    model = cfg.get('model', {})
    if model.get('type') != 'TALMTS' or not model.get('neck', {}).get('stt'):
        raise UserError(
            f'config {base.filename}: training on own data needs a TALMTS with an STT, '
            'such as configs/tal_mts/*.py'
        )
    crop = model['neck']['stt']['crop_size']
    _adapt_model(model, plan, len(classes), keep_warmup=init is None)
    warmup = round(_WARMUP_SHARE * plan.epochs) if model.get('warmup_head') else 0
    cfg['custom_hooks'] = (
        [dict(type='BackboneWarmupHook', num_epochs=warmup)] if warmup else []
    )
    cfg['train_cfg'] = dict(
        type='EpochBasedTrainLoop',
        max_epochs=plan.epochs,
        val_interval=max(plan.epochs // 3, 1),
    )
    cfg['val_cfg'], cfg['test_cfg'] = dict(type='ValLoop'), dict(type='TestLoop')
    cfg['param_scheduler'] = _schedule(plan.epochs, warmup)
    cfg['load_from'] = init
    cfg.update(_data(plan, classes, os.fspath(ann_file), os.fspath(video_dir), crop))
    for loader in ('train', 'val', 'test'):
        cfg[f'{loader}_dataloader'].update(
            num_workers=num_workers, persistent_workers=num_workers > 0
        )
    return Config(cfg)


def config_text(cfg: Config, reasons: Sequence[str]) -> str:
    """The config as a file that ``tools/train.py`` takes.

    Args:
        cfg (Config): The config.
        reasons (Sequence[str]): Why the settings are as they are.

    Returns:
        str: Python.
    """
    lines = ['Written by tools/train_custom.py.', *reasons]
    # No line of a comment may end it: class names can hold anything.
    comment = '\n'.join('# ' + ' '.join(line.split()) for line in lines)
    return f'{comment}\n{cfg.pretty_text}'


def mirror_is_safe(classes: Sequence[str]) -> bool:
    """Whether no class name tells left from right.

    Args:
        classes (Sequence[str]): Names.

    Returns:
        bool: True if windows may be mirrored without changing their labels.
    """
    words = (word for name in classes for word in re.split(r'[^a-z]+', name.lower()))
    return not {'left', 'right', 'clockwise', 'anticlockwise'} & set(words)


def _adapt_model(
    model: dict, plan: TrainingPlan, num_classes: int, keep_warmup: bool
) -> None:
    """Classes, length and levels."""
    neck, coarse, refine = model['neck'], model['coarse_head'], model['refine_head']
    neck['pyramid']['num_levels'] = plan.num_levels
    neck['stt'].update(clip_len=plan.clip_len, num_levels=plan.num_levels)
    first = neck['stt'].get('first_stride', 4)
    coarse.update(num_classes=num_classes, num_levels=plan.num_levels)
    if coarse.get('distance_factors') is not None:
        coarse['distance_factors'] = [first * 2**n for n in range(plan.num_levels)]
    refine['num_classes'] = num_classes
    if not keep_warmup:
        model['warmup_head'] = None
    elif model.get('warmup_head'):
        model['warmup_head']['num_classes'] = num_classes


def _schedule(epochs: int, warmup: int) -> list[dict]:
    """A linear start, and a cosine from where everything is trained."""
    return [
        dict(
            type='LinearLR',
            start_factor=0.05,
            by_epoch=False,
            begin=0,
            end=_LINEAR_ITERATIONS,
        ),
        dict(
            type='CosineAnnealingLR',
            begin=warmup,
            T_max=epochs - warmup,
            end=epochs,
            eta_min_ratio=0.01,
            by_epoch=True,
            convert_to_iter_based=True,
        ),
    ]


def _data(
    plan: TrainingPlan,
    classes: Sequence[str],
    ann_file: str,
    video_dir: str,
    crop: int,
) -> dict:
    """Loaders and metrics."""
    size = round(crop * 1.125)
    loading = [
        dict(type='LoadClip'),
        dict(type='Resize', scale=(size, size), keep_ratio=False),
    ]
    packing = [
        dict(type='FormatShape', input_format='NCTHW'),
        dict(type='PackTALInputs'),
    ]
    mirror = [dict(type='FlipClip', flip_ratio=0.5)] if mirror_is_safe(classes) else []
    train = [*loading, dict(type='RandomCrop', size=crop), *mirror, *packing]
    test = [*loading, dict(type='CenterCrop', crop_size=crop), *packing]
    dataset = dict(
        type='TALDataset',
        ann_file=ann_file,
        data_prefix=dict(video=video_dir),
        classes=list(classes),
        sample_fps=plan.sample_fps,
        clip_len=plan.clip_len,
        on_invalid='clamp',
    )
    val = dict(
        batch_size=plan.batch_size,
        sampler=dict(type='DefaultSampler', shuffle=False),
        dataset=dict(
            dataset,
            subsets=VALIDATION,
            window_stride=plan.clip_len // 2,
            pipeline=test,
            test_mode=True,
        ),
    )
    metric = dict(
        type='TALMetric',
        ann_file=ann_file,
        subset=VALIDATION,
        on_invalid='clamp',
        tiou_thresholds=[0.3, 0.4, 0.5, 0.6, 0.7],
        nms=dict(method='gaussian', sigma=0.5, min_score=0.001),
    )
    return dict(
        train_dataloader=dict(
            batch_size=plan.batch_size,
            drop_last=True,
            sampler=dict(type='DefaultSampler', shuffle=True),
            dataset=dict(
                dataset,
                subsets=TRAINING,
                window_stride=plan.window_stride,
                pipeline=train,
            ),
        ),
        val_dataloader=val,
        test_dataloader=dict(val),
        val_evaluator=metric,
        test_evaluator=dict(metric),
    )
