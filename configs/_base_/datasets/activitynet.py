# ActivityNet-1.3: one array (T, 112, 112, C) uint8 per video, the whole video as one
# clip of 768 frames (Sec. IV-B). The model says action or not; the class comes from a
# classifier of whole videos, as in AFSD.
dataset_type = 'TALDataset'
data_root = 'data/activitynet/'
ann_file = 'annotations.json'
# Scores of a classifier, see LoadVideoScores for the layouts.
video_scores = data_root + 'video_scores.json'
modality = 'RGB'
clip_len = 768
crop_size = 96

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
    dict(type='LoadVideoScores', ann_file=video_scores),
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
        class_agnostic=True,
        subsets='training',
        source_type='npy',
        modality=modality,
        num_frames_per_video=clip_len,
        clip_len=clip_len,
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
        class_agnostic=True,
        subsets='validation',
        source_type='npy',
        modality=modality,
        num_frames_per_video=clip_len,
        clip_len=clip_len,
        on_invalid='clamp',
        pipeline=test_pipeline,
        test_mode=True,
    ),
)
test_dataloader = val_dataloader

val_evaluator = dict(
    type='TALMetric',
    ann_file=data_root + ann_file,
    subset='validation',
    on_invalid='clamp',
    tiou_thresholds=(0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95),
)
test_evaluator = val_evaluator
