# Thermal recordings, baseline: none of the three modules.
_base_ = ['./tal-mts_i3d-tiny_1xb8-64x48x48_nagoya-fir.py']

model = dict(
    neck=dict(rfp=dict(num_merges=1, gated=False), stt=None),
    coarse_head=dict(with_context=False),
    refine_head=dict(fsa=None),
)
