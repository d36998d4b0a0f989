# A config of a project that uses MMAction2: one line makes mmtal_mts available.
custom_imports = dict(imports=['mmtal_mts', 'shapes'], allow_failed_imports=False)
default_scope = 'mmaction'

# Data: data/shapes is made by the command in the README.
data_root = 'data/shapes/'
ann_file = 'annotations.json'
classes = ('move_left', 'move_right', 'circle', 'shake', 'grow', 'approach_leave')
clip_len, crop_size = 64, 32

# MMAction2's transforms, two of mmtal_mts (LoadClip, PackTALInputs), one of ours.
train_pipeline = [
    dict(type='LoadClip'),
    dict(type='RandomBrightness', max_change=32),
    dict(type='Resize', scale=(36, 36), keep_ratio=False),
    dict(type='RandomCrop', size=crop_size),
    dict(type='FormatShape', input_format='NCTHW'),
    dict(type='PackTALInputs'),
]
test_pipeline = [
    dict(type='LoadClip'),
    dict(type='Resize', scale=(36, 36), keep_ratio=False),
    dict(type='CenterCrop', crop_size=crop_size),
    dict(type='FormatShape', input_format='NCTHW'),
    dict(type='PackTALInputs'),
]
videos = dict(
    type='TALDataset',
    data_root=data_root,
    ann_file=ann_file,
    data_prefix=dict(video='videos'),
    classes=classes,
    sample_fps=10,
    clip_len=clip_len,
    window_stride=32,
)
train_dataloader = dict(
    batch_size=2,
    num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(subsets='training', keep_ioa=0.5, pipeline=train_pipeline, **videos),
)
val_dataloader = dict(
    batch_size=2,
    num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(subsets='test', test_mode=True, pipeline=test_pipeline, **videos),
)
test_dataloader = val_dataloader
val_evaluator = dict(
    type='TALMetric',
    ann_file=data_root + ann_file,
    subset='test',
    tiou_thresholds=(0.3, 0.5, 0.7),
)
test_evaluator = val_evaluator

# The complete TAL-MTS, so narrow that a training takes seconds.
channels, groups, levels = 32, 8, 5
patches = dict(
    crop_size=crop_size,
    patch_size=16,
    embed_dims=16,
    num_heads=2,
    in_channels=3,
    out_channels=channels,
)
model = dict(
    type='TALMTS',
    data_preprocessor=dict(
        type='ActionDataPreprocessor', mean=[127.5], std=[127.5], format_shape='NCTHW'
    ),
    backbone=dict(
        type='InceptionI3D',
        width=0.0625,
        out_indices=('Mixed_4f', 'Mixed_5c'),
        freeze_bn=False,
    ),
    neck=dict(
        type='MultiTemporalScaleNeck',
        pyramid=dict(
            type='TemporalPyramid',
            in_channels=(48, 64),
            spatial_sizes=(2, 1),
            out_channels=channels,
            num_levels=levels,
            num_groups=groups,
        ),
        rfp=dict(type='RefinedFeaturePyramid'),
        stt=dict(
            type='SpatialTemporalTransformer',
            clip_len=clip_len,
            first_stride=4,
            num_levels=levels,
            num_groups=groups,
            **patches,
        ),
        frame_feature=dict(
            type='FrameLevelFeature',
            channels=channels,
            num_groups=groups,
            interpolation='linear',
        ),
    ),
    coarse_head=dict(
        type='CoarseHead',
        num_classes=len(classes),
        channels=channels,
        with_context=True,
        num_levels=levels,
        num_groups=groups,
        distance_factors=(4, 8, 16, 32, 64),
        loss_cls=dict(type='SoftmaxFocalLoss'),
        loss_loc=dict(type='SegmentGIoULoss'),
        assigner=dict(type='SegmentAssigner'),
    ),
    refine_head=dict(
        type='BoundaryRefineHead',
        num_classes=len(classes),
        channels=channels,
        num_groups=groups,
        fsa=dict(type='FrameSelfAttention', **patches),
        loss_cls=dict(type='SoftmaxFocalLoss'),
        loss_loc=dict(type='SegmentSmoothL1Loss'),
        loss_quality=dict(type='QualityBCELoss'),
    ),
    test_cfg=dict(score_thr=0.01, nms=dict(method='gaussian', sigma=0.5)),
)

train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=2, val_interval=2)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
optim_wrapper = dict(
    optimizer=dict(type='AdamW', lr=1e-3), clip_grad=dict(max_norm=1.0)
)
# Two hooks of mmtal_mts: random numbers that survive an interruption, and an end to
# training at the first NaN.
default_hooks = dict(
    epoch_seed=dict(type='EpochSeedHook'),
    invalid_loss=dict(type='InvalidLossHook'),
    logger=dict(type='LoggerHook', interval=5),
    checkpoint=dict(type='CheckpointHook', interval=1),
)
