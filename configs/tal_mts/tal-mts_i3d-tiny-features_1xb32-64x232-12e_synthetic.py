# Features of the synthetic videos by the backbone of the model in zoo/: both maps, a
# row per 4 frames at 10 fps. How to make them: docs/extraction.md.
_base_ = [
    '../_base_/models/tal-mts_features.py',
    '../_base_/datasets/synthetic.py',
    '../_base_/schedules/adamw_30e.py',
    '../_base_/default_runtime.py',
]

clip_len = 64
feature_channels = 232
channels = 128
groups = 16
model = dict(
    backbone=dict(
        in_channels=feature_channels, out_channels=channels, num_groups=groups
    ),
    neck=dict(
        pyramid=dict(out_channels=channels, num_levels=6, num_groups=groups),
        stt=dict(
            clip_len=clip_len,
            in_channels=feature_channels,
            embed_dims=64,
            out_channels=channels,
            num_heads=4,
            num_levels=6,
            num_groups=groups,
        ),
        frame_feature=dict(channels=channels, num_groups=groups),
    ),
    coarse_head=dict(
        num_classes=6,
        channels=channels,
        num_levels=6,
        num_groups=groups,
        distance_factors=(1, 2, 4, 8, 16, 32),
        loss_loc=dict(loss_weight=1.0),
    ),
    refine_head=dict(
        num_classes=6,
        channels=channels,
        num_groups=groups,
        loss_loc=dict(loss_weight=1.0),
    ),
    test_cfg=dict(nms=dict(sigma=0.5)),
)

pipeline = [
    dict(type='LoadFeatures', channels=feature_channels),
    dict(type='PackTALInputs'),
]
features = dict(
    _delete_=True,
    type='TALFeatureDataset',
    data_root={{_base_.data_root}},
    ann_file={{_base_.ann_file}},
    data_prefix=dict(video='features'),
    classes={{_base_.classes}},
    source_fps=10,  # at which they were extracted
    feature_stride=4,
    clip_len=clip_len,
    pipeline=pipeline,
)
train_dataloader = dict(
    batch_size=32, dataset=dict(subsets='training', window_stride=8, **features)
)
val_dataloader = dict(
    batch_size=32,
    dataset=dict(subsets='test', window_stride=32, test_mode=True, **features),
)
test_dataloader = val_dataloader

max_epochs = 12
train_cfg = dict(max_epochs=max_epochs, val_interval=max_epochs)
optim_wrapper = dict(optimizer=dict(lr=2e-3, fused=True))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.05, by_epoch=False, begin=0, end=20),
    dict(
        type='CosineAnnealingLR',
        begin=2,
        T_max=max_epochs - 2,
        end=max_epochs,
        eta_min_ratio=0.01,
        by_epoch=True,
        convert_to_iter_based=True,
    ),
]
