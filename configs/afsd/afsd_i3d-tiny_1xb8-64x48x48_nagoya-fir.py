# AFSD on thermal recordings with all of its losses. The baseline of the ablation
# has those of TAL-MTS.
_base_ = ['../tal_mts/ablation_baseline_i3d-tiny_1xb8-64x48x48_nagoya-fir.py']

model = dict(
    neck=dict(frame_feature=dict(interpolation='nearest')),
    refine_head=dict(
        quality_over='coarse',
        quality_target_grad=True,
        loss_loc=dict(beta=0.0),  # plain L1
        loss_boundary=dict(type='BoundaryBCELoss', auxiliary_weight=0.1),
        loss_consistency=dict(
            type='BoundaryTripletLoss', auxiliary_weight=0.1, loss_weight=0.1
        ),
    ),
    test_cfg=dict(clamp=False),
)

train_pipeline = [
    dict(type='LoadClip'),
    dict(type='RandomCrop', size=48),
    dict(type='FlipClip', flip_ratio=0.5),
    dict(type='CutInsertBackground'),
    dict(type='FormatShape', input_format='NCTHW'),
    dict(type='PackTALInputs'),
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
