# THUMOS14 for backbones that expect the mean and deviation of ImageNet: what pads a
# window is their mean.
_base_ = ['./thumos14.py']

load_clip = dict(type='LoadClip', pad_value=(123.675, 116.28, 103.53))
train_pipeline = [load_clip, *_base_.train_pipeline[1:]]
test_pipeline = [load_clip, *_base_.test_pipeline[1:]]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
