# THUMOS14: one array (T, 112, 112, C) uint8 per video at 10 fps, clips of 256 frames at
# a stride of 30 in training and 128 in testing (Sec. IV-B).
dataset_type = 'TALDataset'
data_root = 'data/thumos14/'
ann_file = 'annotations.json'
modality = 'RGB'
clip_len = 256
crop_size = 96
classes = (
    'BaseballPitch',
    'BasketballDunk',
    'Billiards',
    'CleanAndJerk',
    'CliffDiving',
    'CricketBowling',
    'CricketShot',
    'Diving',
    'FrisbeeCatch',
    'GolfSwing',
    'HammerThrow',
    'HighJump',
    'JavelinThrow',
    'LongJump',
    'PoleVault',
    'Shotput',
    'SoccerPenalty',
    'TennisSwing',
    'ThrowDiscus',
    'VolleyballSpiking',
)

train_pipeline = [
    dict(type='LoadClip'),
    dict(type='RandomCrop', size=crop_size),
    dict(type='FlipClip', flip_ratio=0.5),
    dict(type='FormatShape', input_format='NCTHW'),
    dict(type='PackTALInputs'),
]
test_pipeline = [
    dict(type='LoadClip'),
    dict(type='CenterCrop', crop_size=crop_size),
    dict(type='FormatShape', input_format='NCTHW'),
    dict(type='PackTALInputs'),
]

train_dataloader = dict(
    batch_size=1,
    num_workers=4,
    persistent_workers=True,
    drop_last=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        ann_file=ann_file,
        data_prefix=dict(video='rgb_npy'),
        classes=classes,
        subsets='validation',
        source_type='npy',
        modality=modality,
        sample_fps=10,
        clip_len=clip_len,
        window_stride=30,
        on_invalid='clamp',
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        ann_file=ann_file,
        data_prefix=dict(video='rgb_npy'),
        classes=classes,
        subsets='test',
        source_type='npy',
        modality=modality,
        sample_fps=10,
        clip_len=clip_len,
        window_stride=128,
        on_invalid='clamp',
        pipeline=test_pipeline,
        test_mode=True,
    ),
)
test_dataloader = val_dataloader

val_evaluator = dict(
    type='TALMetric',
    ann_file=data_root + ann_file,
    subset='test',
    # 210 videos, 3,311 actions; 'thumos14-opentad' and 'thumos14' are others.
    protocol='thumos14-afsd',
    tiou_thresholds=(0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7),
    average_over=(0.3, 0.4, 0.5, 0.6, 0.7),
)
test_evaluator = val_evaluator
