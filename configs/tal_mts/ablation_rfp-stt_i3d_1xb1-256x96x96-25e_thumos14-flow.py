# Table VI: baseline, RFP and STT.
_base_ = ['./tal-mts_i3d_1xb1-256x96x96-25e_thumos14-flow.py']

model = dict(
    refine_head=dict(fsa=None),
)
