_base_ = ['./tal-mts_i3d_1xb1-256x96x96-25e_thumos14-rgb.py']

flow_channels = 2
model = dict(
    backbone=dict(
        in_channels=flow_channels, pretrained='checkpoints/i3d/flow_imagenet.pt'
    ),
    neck=dict(stt=dict(in_channels=flow_channels)),
    refine_head=dict(fsa=dict(in_channels=flow_channels)),
)
flow = dict(modality='Flow', data_prefix=dict(video='flow_npy'))
train_dataloader = dict(dataset=flow)
val_dataloader = dict(dataset=flow)
test_dataloader = val_dataloader
