# The same model on optical flow, extracted beforehand (docs/models.md).
_base_ = ['./tal-mts_i3d-tiny_1xb4-128x48x48_synthetic.py']

model = dict(
    backbone=dict(in_channels=2),
    neck=dict(stt=dict(in_channels=2)),
    refine_head=dict(fsa=dict(in_channels=2)),
)
flow = dict(modality='Flow', source_type='npy', data_prefix=dict(video='flow_npy'))
train_dataloader = dict(dataset=flow)
val_dataloader = dict(dataset=flow)
test_dataloader = val_dataloader
