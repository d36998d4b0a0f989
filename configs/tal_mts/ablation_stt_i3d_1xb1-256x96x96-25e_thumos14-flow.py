# Table VI: baseline and STT.
_base_ = ['./tal-mts_i3d_1xb1-256x96x96-25e_thumos14-flow.py']

model = dict(
    neck=dict(rfp=dict(num_merges=1)),
    refine_head=dict(fsa=None),
)
