# TAL-MTS on Swin-T (3-D) of MMAction2, Kinetics-400 weights (docs/models.md).
_base_ = [
    '../_base_/models/tal-mts_backbone-adapter.py',
    '../_base_/datasets/thumos14_imagenet.py',
    '../_base_/schedules/adam_25e.py',
    '../_base_/default_runtime.py',
]

weights = (
    'https://download.openmmlab.com/mmaction/v1.0/recognition/swin/'
    'swin-tiny-p244-w877_in1k-pre_8xb8-amp-32x2x1-30e_kinetics400-rgb/'
    'swin-tiny-p244-w877_in1k-pre_8xb8-amp-32x2x1-30e_kinetics400-rgb_20220930-'
    '241016b2.pth'
)
model = dict(
    backbone=dict(
        pretrained=weights,
        backbone=dict(
            type='SwinTransformer3D',
            arch='tiny',
            pretrained=None,
            pretrained2d=False,
            patch_size=(2, 4, 4),
            window_size=(8, 7, 7),
            mlp_ratio=4.0,
            qkv_bias=True,
            drop_path_rate=0.1,
            patch_norm=True,
            out_indices=(2, 3),
            with_cp=True,
            frozen_stages=1,
        ),
    ),
)
