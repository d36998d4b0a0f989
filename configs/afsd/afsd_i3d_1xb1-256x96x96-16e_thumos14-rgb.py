_base_ = [
    '../_base_/models/afsd_i3d_thumos14.py',
    '../_base_/datasets/afsd_thumos14.py',
    '../_base_/schedules/afsd_adam_16e.py',
    '../_base_/default_runtime.py',
]
# Kinetics weights, by the key names of the widely used PyTorch port.
model = dict(backbone=dict(pretrained='checkpoints/i3d/rgb_imagenet.pt'))
