# ActivityNet-1.3 as AFSD trains on it.
_base_ = ['./activitynet.py']

train_pipeline = [
    dict(type='LoadClip'),
    dict(type='RandomCrop', size=96),
    dict(type='FlipClip', flip_ratio=0.5, negate_flow_x=False),
    dict(type='CutInsertBackground', divisor=4),
    dict(type='FormatShape', input_format='NCTHW'),
    dict(type='PackTALInputs'),
]
test_pipeline = [
    dict(type='LoadClip'),
    dict(type='CenterCrop', crop_size=96),
    dict(type='FormatShape', input_format='NCTHW'),
    dict(type='LoadVideoScores', ann_file='data/activitynet/video_scores.json'),
    dict(type='PackTALInputs'),
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
