_base_ = [
    '../_base_/models/tal-mts_i3d.py',
    '../_base_/datasets/thumos14.py',
    '../_base_/schedules/adam_25e.py',
    '../_base_/default_runtime.py',
]
# Kinetics weights, by the key names of the widely used PyTorch port.
model = dict(backbone=dict(pretrained='checkpoints/i3d/rgb_imagenet.pt'))
