# Table VI: baseline and RFP.
_base_ = ['./tal-mts_i3d_1xb1-256x96x96-25e_thumos14-flow.py']

model = dict(
    neck=dict(stt=None),
    coarse_head=dict(with_context=False),
    refine_head=dict(fsa=None),
)
