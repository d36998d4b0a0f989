# The complete TAL-MTS (RFP, STT, FSA, boundary pooling, every loss) at a size that
# trains from scratch in minutes on two CPU cores.
_base_ = [
    '../_base_/models/tal-mts_i3d.py',
    '../_base_/datasets/synthetic.py',
    '../_base_/schedules/adam_25e.py',
    '../_base_/default_runtime.py',
]

channels = 128
groups = 16
size = dict(clip_len=128, crop_size=48)
patches = dict(embed_dims=64, out_channels=channels, patch_size=16, num_heads=4)
model = dict(
    backbone=dict(width=0.125, freeze_bn=False, bn_momentum=0.1),
    neck=dict(
        pyramid=dict(
            in_channels=(104, 128),
            spatial_sizes=(3, 2),
            out_channels=channels,
            num_groups=groups,
        ),
        tokens=dict(stem_channels=(16, 32), num_groups=4),
        rfp=dict(cumulative=False, gated=True),
        stt=dict(num_groups=groups, **size, **patches),
        frame_feature=dict(channels=channels, num_groups=groups),
    ),
    coarse_head=dict(
        num_classes=6,
        channels=channels,
        num_groups=groups,
        # Trained from scratch, distances start at the stride of the level instead
        # of at one frame.
        distance_factors=(4, 8, 16, 32, 64, 128),
        loss_loc=dict(loss_weight=1.0),
    ),
    refine_head=dict(
        num_classes=6,
        channels=channels,
        num_groups=groups,
        fsa=dict(crop_size=size['crop_size'], **patches),
        loss_loc=dict(loss_weight=1.0),
    ),
    test_cfg=dict(nms=dict(sigma=0.5)),
    warmup_head=dict(
        type='DenseClassificationHead', num_classes=6, in_channels=104, feat_index=0
    ),
)

# There are no Kinetics weights of this width: for two epochs the backbone learns to
# tell the motions apart, then everything is trained together.
warmup_epochs = 2
custom_hooks = [dict(type='BackboneWarmupHook', num_epochs=warmup_epochs)]
find_unused_parameters = True

max_epochs = 5
train_cfg = dict(max_epochs=max_epochs, val_interval=max_epochs)
optim_wrapper = dict(
    optimizer=dict(
        _delete_=True,
        type='AdamW',
        lr=1e-3,
        betas=(0.9, 0.95),
        weight_decay=0.05,
        fused=True,
    ),
    clip_grad=dict(max_norm=1.0),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.05, by_epoch=False, begin=0, end=40),
    dict(
        type='CosineAnnealingLR',
        begin=warmup_epochs,
        T_max=max_epochs - warmup_epochs,
        end=max_epochs,
        eta_min_ratio=0.01,
        by_epoch=True,
        convert_to_iter_based=True,
    ),
]
