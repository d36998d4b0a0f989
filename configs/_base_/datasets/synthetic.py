# Synthetic untrimmed videos of tools/dataset_converters/generate_synthetic.py.
dataset_type = 'TALDataset'
data_root = 'data/synthetic/'
ann_file = 'annotations.json'
clip_len = 128
crop_size = 48
sample_fps = 10
classes = ('move_left', 'move_right', 'circle', 'shake', 'grow', 'approach_leave')

train_pipeline = [
    dict(type='LoadClip', scale=(54, 54)),
    dict(type='RandomCrop', size=crop_size),
    # A mirror turns one direction into the other.
    dict(type='FlipClip', flip_ratio=0.5, label_map=dict(move_left='move_right')),
    dict(type='FormatShape', input_format='NCTHW'),
    dict(type='PackTALInputs'),
]
test_pipeline = [
    dict(type='LoadClip', scale=(54, 54)),
    dict(type='CenterCrop', crop_size=crop_size),
    dict(type='FormatShape', input_format='NCTHW'),
    dict(type='PackTALInputs'),
]

train_dataloader = dict(
    batch_size=4,
    num_workers=2,
    persistent_workers=True,
    drop_last=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        ann_file=ann_file,
        data_prefix=dict(video='videos'),
        classes=classes,
        subsets='training',
        sample_fps=sample_fps,
        clip_len=clip_len,
        window_stride=64,
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(
    batch_size=4,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        ann_file=ann_file,
        data_prefix=dict(video='videos'),
        classes=classes,
        subsets='test',
        sample_fps=sample_fps,
        clip_len=clip_len,
        window_stride=64,
        pipeline=test_pipeline,
        test_mode=True,
    ),
)
test_dataloader = val_dataloader

val_evaluator = dict(
    type='TALMetric',
    ann_file=data_root + ann_file,
    subset='test',
    tiou_thresholds=(0.3, 0.4, 0.5, 0.6, 0.7),
)
test_evaluator = val_evaluator
