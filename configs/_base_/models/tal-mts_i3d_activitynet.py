# TAL-MTS on ActivityNet: action or not, 768 frames, alpha = beta = 1 (Sec. IV-B).
# Levels and targets are those of AFSD, whose setup the paper follows: from Mixed_5c.
_base_ = ['./tal-mts_i3d.py']

model = dict(
    backbone=dict(out_indices=('Mixed_5c',)),
    neck=dict(
        pyramid=dict(in_channels=(1024,), spatial_sizes=(3,)),
        stt=dict(clip_len=768, first_stride=8),
    ),
    coarse_head=dict(
        num_classes=1,
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
    ),
    refine_head=dict(
        num_classes=1,
        relax_refine_thr=True,
        normalize_by='clip',
        loss_loc=dict(loss_weight=1.0),
    ),
    test_cfg=dict(score_thr=1e-9, nms=dict(sigma=0.85, min_score=1e-9)),
)
