# TAL-MTS on a small SlowOnly of MMAction2 (docs/models.md).
_base_ = ['./tal-mts_i3d-tiny_1xb4-128x48x48_synthetic.py']

model = dict(
    backbone=dict(
        _delete_=True,
        type='BackboneAdapter',
        clip_len=128,
        crop_size=48,
        backbone=dict(
            type='ResNet3dSlowOnly',
            depth=18,
            base_channels=16,
            pretrained=None,
            lateral=False,
            conv1_kernel=(1, 7, 7),
            conv1_stride_t=1,
            pool1_stride_t=1,
            inflate=(0, 0, 1, 1),
            out_indices=(2, 3),
        ),
    ),
    neck=dict(
        pyramid=dict(in_channels=None, spatial_sizes=None),  # those of the backbone
        stt=dict(first_stride=None),
    ),
    warmup_head=dict(in_channels=None),
)
