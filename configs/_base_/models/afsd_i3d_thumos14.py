# AFSD, the baseline of Table VI: TAL-MTS without its three modules, with the two
# losses of AFSD that the paper does not mention, and AFSD's reading of details.
_base_ = ['./tal-mts_i3d.py']

model = dict(
    neck=dict(
        rfp=dict(num_merges=1),  # level 1 into level 0, nothing else
        stt=None,
        frame_feature=dict(interpolation='nearest'),
    ),
    coarse_head=dict(with_context=False),
    refine_head=dict(
        fsa=None,
        quality_over='coarse',
        quality_target_grad=True,
        loss_loc=dict(beta=0.0),  # plain L1
        loss_boundary=dict(type='BoundaryBCELoss', auxiliary_weight=0.1),
        loss_consistency=dict(
            type='BoundaryTripletLoss', auxiliary_weight=0.1, loss_weight=0.1
        ),
    ),
    test_cfg=dict(nms=dict(sigma=0.5), clamp=False),
)
