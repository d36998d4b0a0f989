# TAL-MTS on SlowOnly-R50 of MMAction2, Kinetics-400 weights (docs/models.md).
_base_ = [
    '../_base_/models/tal-mts_backbone-adapter.py',
    '../_base_/datasets/thumos14_imagenet.py',
    '../_base_/schedules/adam_25e.py',
    '../_base_/default_runtime.py',
]

weights = (
    'https://download.openmmlab.com/mmaction/v1.0/recognition/slowonly/'
    'slowonly_r50_8xb16-8x8x1-256e_kinetics400-rgb/'
    'slowonly_r50_8xb16-8x8x1-256e_kinetics400-rgb_20220901-2132fc87.pth'
)
model = dict(
    backbone=dict(
        pretrained=weights,
        backbone=dict(
            type='ResNet3dSlowOnly',
            depth=50,
            pretrained=None,
            lateral=False,
            conv1_kernel=(1, 7, 7),
            conv1_stride_t=1,
            pool1_stride_t=1,
            inflate=(0, 0, 1, 1),
            out_indices=(2, 3),
            # Batch 1 is too small for batch statistics; less memory; less to train.
            norm_eval=True,
            with_cp=True,
            frozen_stages=1,
        ),
    ),
)
