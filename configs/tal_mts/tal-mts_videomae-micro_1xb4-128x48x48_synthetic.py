# TAL-MTS on a small ViT as VideoMAE has it of MMAction2 (docs/models.md).
_base_ = ['./tal-mts_i3d-tiny_1xb4-128x48x48_synthetic.py']

model = dict(
    backbone=dict(
        _delete_=True,
        type='BackboneAdapter',
        clip_len=128,
        crop_size=48,
        chunk_len=16,
        backbone=dict(
            type='VisionTransformer',
            img_size=48,
            patch_size=16,
            embed_dims=96,
            depth=4,
            num_heads=4,
            num_frames=16,
            return_feat_map=True,
        ),
    ),
    neck=dict(
        pyramid=dict(in_channels=None, spatial_sizes=None),  # those of the backbone
        stt=dict(first_stride=None),
    ),
    warmup_head=dict(in_channels=None),
)
