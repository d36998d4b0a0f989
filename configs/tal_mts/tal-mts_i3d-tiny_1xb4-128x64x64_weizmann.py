# Timelines of the Weizmann actions, see docs/benchmark.md: real footage that trains on
# two CPU cores. Another fold: change ann_file.
#
# The backbone starts from the baseline of the synthetic data, which has none of the
# modules to compare, as the paper's starts from Kinetics; neck and heads start from
# scratch.
_base_ = ['./tal-mts_i3d-tiny_1xb4-128x48x48_synthetic.py']

data_root = 'data/weizmann/'
ann_file = 'annotations_fold0.json'
crop_size = 64
classes = (
    'bend',
    'gallop sideways',
    'jump forward',
    'jump in place',
    'jumping jack',
    'run',
    'skip',
    'walk',
    'wave one hand',
    'wave two hands',
)
num_classes = len(classes)

model = dict(
    backbone=dict(
        init_cfg=dict(
            type='Pretrained',
            checkpoint='zoo/'
            'ablation_baseline_i3d-tiny_1xb4-128x48x48_synthetic-7bc9a545.pth',
            prefix='backbone.',
        )
    ),
    neck=dict(pyramid=dict(spatial_sizes=(4, 2)), stt=dict(crop_size=crop_size)),
    coarse_head=dict(num_classes=num_classes),
    refine_head=dict(num_classes=num_classes, fsa=dict(crop_size=crop_size)),
    warmup_head=None,
)

train_pipeline = [
    dict(type='LoadClip', scale=(72, 72)),
    dict(type='RandomCrop', size=crop_size),
    dict(type='FlipClip', flip_ratio=0.5),
    dict(type='FormatShape', input_format='NCTHW'),
    dict(type='PackTALInputs'),
]
test_pipeline = [
    dict(type='LoadClip', scale=(72, 72)),
    dict(type='CenterCrop', crop_size=crop_size),
    dict(type='FormatShape', input_format='NCTHW'),
    dict(type='PackTALInputs'),
]
data = dict(
    data_root=data_root,
    ann_file=ann_file,
    classes=classes,
    source_type='npy',
    data_prefix=dict(video='rgb_npy'),
)
train_dataloader = dict(dataset=dict(pipeline=train_pipeline, window_stride=32, **data))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline, **data))
test_dataloader = val_dataloader
val_evaluator = dict(ann_file=data_root + ann_file)
test_evaluator = val_evaluator

max_epochs = 12
custom_hooks = []
train_cfg = dict(max_epochs=max_epochs, val_interval=max_epochs)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.05, by_epoch=False, begin=0, end=40),
    dict(
        type='CosineAnnealingLR',
        T_max=max_epochs,
        end=max_epochs,
        eta_min_ratio=0.01,
        by_epoch=True,
        convert_to_iter_based=True,
    ),
]
