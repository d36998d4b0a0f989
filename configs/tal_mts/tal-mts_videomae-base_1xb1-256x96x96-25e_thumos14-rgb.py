# TAL-MTS on the ViT-B of VideoMAE, fine-tuned on Kinetics-400 (docs/models.md).
_base_ = [
    '../_base_/models/tal-mts_backbone-adapter.py',
    '../_base_/datasets/thumos14_imagenet.py',
    '../_base_/schedules/adam_25e.py',
    '../_base_/default_runtime.py',
]

weights = (
    'https://download.openmmlab.com/mmaction/v1.0/recognition/videomae/'
    'vit-base-p16_videomae-k400-pre_16x4x1_kinetics-400_20221013-860a3cd3.pth'
)
model = dict(
    backbone=dict(
        chunk_len=16,  # what it was trained on
        pretrained=weights,
        # VisionTransformer has no such options of its own.
        with_cp=True,
        frozen=('patch_embed', 'blocks.0', 'blocks.1', 'blocks.2', 'blocks.3'),
        backbone=dict(
            type='VisionTransformer',
            img_size=224,
            patch_size=16,
            embed_dims=768,
            depth=12,
            num_heads=12,
            mlp_ratio=4,
            qkv_bias=True,
            num_frames=16,
            norm_cfg=dict(type='LN', eps=1e-6),
            return_feat_map=True,
        ),
    ),
)
