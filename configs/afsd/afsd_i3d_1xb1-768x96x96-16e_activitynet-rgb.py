_base_ = [
    '../_base_/models/afsd_i3d_activitynet.py',
    '../_base_/datasets/afsd_activitynet.py',
    '../_base_/schedules/afsd_adam_16e.py',
    '../_base_/default_runtime.py',
]
model = dict(backbone=dict(pretrained='checkpoints/i3d/rgb_imagenet.pt'))
# Head at 1e-4, backbone at 1e-5.
optim_wrapper = dict(
    optimizer=dict(lr=1e-4, weight_decay=1e-4),
    paramwise_cfg=dict(custom_keys=dict(backbone=dict(lr_mult=0.1))),
)
