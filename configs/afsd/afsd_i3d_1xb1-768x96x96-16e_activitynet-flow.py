_base_ = ['./afsd_i3d_1xb1-768x96x96-16e_activitynet-rgb.py']

model = dict(
    backbone=dict(in_channels=2, pretrained='checkpoints/i3d/flow_imagenet.pt')
)
flow = dict(modality='Flow', data_prefix=dict(video='flow_npy'))
train_dataloader = dict(dataset=flow)
val_dataloader = dict(dataset=flow)
test_dataloader = val_dataloader
