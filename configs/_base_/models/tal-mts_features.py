# TAL-MTS on features of (T, C) instead of frames: pyramid, RFP, STT over the rows (no
# patches, so no spatial attention), both heads; FSA, which reads pixels, is off.
_base_ = ['./tal-mts_i3d.py']

model = dict(
    data_preprocessor=dict(
        _delete_=True, type='ActionDataPreprocessor', format_shape='NCTHW'
    ),
    backbone=dict(
        _delete_=True,
        type='FeatureEmbedding',
        in_channels=2048,
        out_channels=512,
        dropout=0.1,
        init_cfg=dict(type='Xavier', layer='Conv1d', distribution='uniform'),
    ),
    neck=dict(
        pyramid=dict(in_channels=None, spatial_sizes=None, num_levels=7),
        tokens=None,
        stt=dict(
            clip_len=512,
            crop_size=1,
            patch_size=1,
            spatial_depth=0,
            in_channels=2048,
            first_stride=None,
            num_levels=7,
        ),
    ),
    coarse_head=dict(num_levels=7, distance_factors=(1, 2, 4, 8, 16, 32, 64)),
    refine_head=dict(fsa=None),
)
