# THUMOS14 as AFSD trains on it.
_base_ = ['./thumos14.py']

train_pipeline = [
    dict(type='LoadClip', pad_value=0),  # AFSD pads black in training, grey in testing
    dict(type='RandomCrop', size=96),
    dict(type='FlipClip', flip_ratio=0.5, negate_flow_x=False),
    dict(type='CutInsertBackground'),
    dict(type='FormatShape', input_format='NCTHW'),
    dict(type='PackTALInputs'),
]
test_pipeline = [
    dict(type='LoadClip'),
    dict(type='CenterCrop', crop_size=96),
    dict(type='FormatShape', input_format='NCTHW'),
    dict(type='PackTALInputs'),
]
train_dataloader = dict(dataset=dict(one_based_window=True, pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
