# AFSD on ActivityNet: action or not, 768 frames, levels from Mixed_5c downwards.
_base_ = ['./afsd_i3d_thumos14.py']

model = dict(
    backbone=dict(out_indices=('Mixed_5c',)),
    neck=dict(
        pyramid=dict(in_channels=(1024,), spatial_sizes=(3,)),
        rfp=None,
    ),
    coarse_head=dict(
        num_classes=1,
        # Half the stride of each level, as published.
        distance_factors=(4, 8, 16, 32, 64, 128),
        normalize_by='clip',
        loss_loc=dict(loss_weight=1.0),
        assigner=dict(
            level_ranges=[
                (0, 30),
                (15, 60),
                (30, 120),
                (60, 240),
                (96, 768),
                (256, 768),
            ]
        ),
        init_cfg=dict(_delete_=True, type='Normal', layer='Conv1d', std=0.01),
    ),
    refine_head=dict(
        num_classes=1,
        refine_iou_thr=0.6,
        relax_refine_thr=True,
        normalize_by='clip',
        loss_loc=dict(beta=1.0, loss_weight=1.0),
        init_cfg=dict(_delete_=True, type='Normal', layer='Conv1d', std=0.01),
    ),
    test_cfg=dict(
        score_thr=1e-9,
        nms=dict(sigma=0.85, min_score=1e-9),
        clamp=True,
        fusion='geometric',
    ),
)
