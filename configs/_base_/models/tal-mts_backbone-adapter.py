# TAL-MTS on a backbone of MMAction2, which the config names (docs/models.md).
_base_ = ['./tal-mts_i3d.py']

model = dict(
    # Mean and deviation of ImageNet, as MMAction2's weights expect.
    data_preprocessor=dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375]),
    backbone=dict(_delete_=True, type='BackboneAdapter', clip_len=256, crop_size=96),
    neck=dict(
        pyramid=dict(in_channels=None, spatial_sizes=None),  # those of the backbone
        stt=dict(first_stride=None),
    ),
)
