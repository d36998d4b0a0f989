# Table VI on the synthetic videos with context, baseline: none of the three modules.
_base_ = ['./tal-mts_i3d-tiny_1xb4-128x48x48_synthetic-context.py']

model = dict(
    neck=dict(rfp=dict(num_merges=1, gated=False), stt=None),
    coarse_head=dict(with_context=False),
    refine_head=dict(fsa=None),
)
