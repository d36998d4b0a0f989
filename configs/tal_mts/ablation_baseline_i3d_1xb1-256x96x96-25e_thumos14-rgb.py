# Table VI, baseline: none of the three modules; RFP keeps the one addition of AFSD.
_base_ = ['./tal-mts_i3d_1xb1-256x96x96-25e_thumos14-rgb.py']

model = dict(
    neck=dict(rfp=dict(num_merges=1), stt=None),
    coarse_head=dict(with_context=False),
    refine_head=dict(fsa=None),
)
