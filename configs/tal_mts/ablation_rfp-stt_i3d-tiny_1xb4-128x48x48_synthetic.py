# Table VI on synthetic videos: baseline, RFP and STT.
_base_ = ['./tal-mts_i3d-tiny_1xb4-128x48x48_synthetic.py']

model = dict(
    refine_head=dict(fsa=None),
)
