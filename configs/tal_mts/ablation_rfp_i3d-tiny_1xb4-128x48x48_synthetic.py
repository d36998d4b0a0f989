# Table VI on synthetic videos: baseline and RFP.
_base_ = ['./tal-mts_i3d-tiny_1xb4-128x48x48_synthetic.py']

model = dict(
    neck=dict(stt=None),
    coarse_head=dict(with_context=False),
    refine_head=dict(fsa=None),
)
