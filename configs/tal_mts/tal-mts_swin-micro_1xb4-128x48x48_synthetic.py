# TAL-MTS on a small Swin (3-D) of MMAction2 (docs/models.md).
_base_ = ['./tal-mts_i3d-tiny_1xb4-128x48x48_synthetic.py']

model = dict(
    backbone=dict(
        _delete_=True,
        type='BackboneAdapter',
        clip_len=128,
        crop_size=48,
        backbone=dict(
            type='SwinTransformer3D',
            arch=dict(embed_dims=24, depths=[1, 1, 2, 1], num_heads=[1, 2, 4, 8]),
            pretrained=None,
            pretrained2d=False,
            patch_size=(2, 4, 4),
            window_size=(8, 7, 7),
            drop_path_rate=0.0,
            out_indices=(2, 3),
        ),
    ),
    neck=dict(
        pyramid=dict(in_channels=None, spatial_sizes=None),  # those of the backbone
        stt=dict(first_stride=None),
    ),
    warmup_head=dict(in_channels=None),
)
