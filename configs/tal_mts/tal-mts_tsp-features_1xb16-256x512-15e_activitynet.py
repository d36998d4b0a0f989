# TSP features of ActivityNet-1.3, action or not (docs/extraction.md).
_base_ = [
    '../_base_/models/tal-mts_features.py',
    '../_base_/datasets/activitynet_features.py',
    '../_base_/schedules/adamw_30e.py',
    '../_base_/default_runtime.py',
]

model = dict(
    backbone=dict(in_channels=512, out_channels=256),
    neck=dict(
        pyramid=dict(out_channels=256),
        stt=dict(clip_len=256, in_channels=512, embed_dims=256, out_channels=256),
        frame_feature=dict(channels=256),
    ),
    coarse_head=dict(
        num_classes=1,
        channels=256,
        normalize_by='clip',
        loss_loc=dict(loss_weight=1.0),
    ),
    refine_head=dict(
        num_classes=1,
        channels=256,
        relax_refine_thr=True,
        normalize_by='clip',
        loss_loc=dict(loss_weight=1.0),
    ),
    test_cfg=dict(score_thr=1e-9, nms=dict(sigma=0.85, min_score=1e-9)),
)

max_epochs = 15
train_cfg = dict(max_epochs=max_epochs, val_interval=max_epochs)
optim_wrapper = dict(optimizer=dict(lr=1e-3))
param_scheduler = [
    dict(
        type='LinearLR',
        start_factor=0.01,
        begin=0,
        end=2,
        by_epoch=True,
        convert_to_iter_based=True,
    ),
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
auto_scale_lr = dict(base_batch_size=16)
