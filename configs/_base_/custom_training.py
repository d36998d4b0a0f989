# Data, schedule and metric of a training on own videos. tools/train_custom.py fills in
# the data, the classes, and the settings that follow from the lengths of the actions;
# the numbers here are placeholders.
_base_ = './default_runtime.py'

load_clip = dict(type='LoadClip', scale=(54, 54))
pack = [dict(type='FormatShape', input_format='NCTHW'), dict(type='PackTALInputs')]
train_pipeline = [
    load_clip,
    dict(type='RandomCrop', size=48),
    # Left out if a class name tells left from right.
    dict(type='FlipClip', flip_ratio=0.5),
    *pack,
]
test_pipeline = [load_clip, dict(type='CenterCrop', crop_size=48), *pack]

train_dataloader = dict(
    batch_size=4,
    num_workers=2,
    drop_last=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(
        type='TALDataset',
        subsets='training',
        on_invalid='clamp',
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(
    batch_size=4,
    num_workers=2,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='TALDataset',
        subsets='validation',
        on_invalid='clamp',
        pipeline=test_pipeline,
        test_mode=True,
    ),
)
val_evaluator = dict(
    type='TALMetric',
    subset='validation',
    on_invalid='clamp',
    tiou_thresholds=[0.3, 0.4, 0.5, 0.6, 0.7],
)

train_cfg = dict(type='EpochBasedTrainLoop')
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
# The second begins where the backbone is warmed up.
param_scheduler = [
    dict(type='LinearLR', start_factor=0.05, by_epoch=False, begin=0, end=40),
    dict(
        type='CosineAnnealingLR',
        eta_min_ratio=0.01,
        by_epoch=True,
        convert_to_iter_based=True,
    ),
]
