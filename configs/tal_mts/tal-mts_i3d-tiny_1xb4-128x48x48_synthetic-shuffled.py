# Control experiment: the frames of every clip in random order, in training and in
# testing. What is still found is recognised by single frames instead of by motion.
_base_ = './tal-mts_i3d-tiny_1xb4-128x48x48_synthetic.py'

train_pipeline = [
    _base_.train_pipeline[0],
    dict(type='ShuffleFrames'),
    *_base_.train_pipeline[1:],
]
test_pipeline = [
    _base_.test_pipeline[0],
    dict(type='ShuffleFrames'),
    *_base_.test_pipeline[1:],
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
