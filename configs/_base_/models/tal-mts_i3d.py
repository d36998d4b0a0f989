# TAL-MTS of the paper: I3D, six levels, 256 frames of 96x96 pixels, RGB.
# Loss weights: alpha = 10 on both localisation losses, beta = 1 (eq. 7, THUMOS14).
model = dict(
    type='TALMTS',
    data_preprocessor=dict(
        type='ActionDataPreprocessor',
        mean=[127.5],
        std=[127.5],
        format_shape='NCTHW',
    ),
    backbone=dict(
        type='InceptionI3D',
        in_channels=3,
        out_indices=('Mixed_4f', 'Mixed_5c'),
        freeze_bn=True,
        pretrained=None,
    ),
    neck=dict(
        type='MultiTemporalScaleNeck',
        pyramid=dict(
            type='TemporalPyramid',
            in_channels=(832, 1024),
            spatial_sizes=(6, 3),
            out_channels=512,
            num_levels=6,
        ),
        # Top-down sums without parameters, as the text says (docs/reproduce.md).
        rfp=dict(type='RefinedFeaturePyramid', cumulative=True),
        # STT and FSA read the same tokens, which see motion. None: patches of pixels
        # of their own, as in eq. 1 and 5 (docs/reproduce.md).
        tokens=dict(type='TubeletEmbedding'),
        stt=dict(
            type='SpatialTemporalTransformer',
            clip_len=256,
            crop_size=96,
            first_stride=4,
            num_levels=6,
            in_channels=3,
            embed_dims=512,
            out_channels=512,
            patch_size=24,
            num_heads=8,
            cosine=True,
            final_norm=True,
        ),
        frame_feature=dict(
            type='FrameLevelFeature', channels=512, interpolation='linear'
        ),
        init_cfg=dict(
            type='Xavier', layer=['Conv1d', 'Conv3d'], distribution='uniform'
        ),
    ),
    coarse_head=dict(
        type='CoarseHead',
        num_classes=20,
        channels=512,
        with_context=True,
        num_levels=6,
        loss_cls=dict(type='SoftmaxFocalLoss', loss_weight=1.0),
        loss_loc=dict(type='SegmentGIoULoss', loss_weight=10.0),
        assigner=dict(type='SegmentAssigner'),
        init_cfg=dict(type='Xavier', layer='Conv1d', distribution='uniform'),
    ),
    refine_head=dict(
        type='BoundaryRefineHead',
        num_classes=20,
        channels=512,
        fsa=dict(
            type='FrameSelfAttention',
            crop_size=96,
            in_channels=3,
            embed_dims=512,
            out_channels=512,
            patch_size=24,
            num_heads=8,
            cosine=True,
            final_norm=True,
        ),
        refine_iou_thr=0.5,
        loss_cls=dict(type='SoftmaxFocalLoss', loss_weight=1.0),
        loss_loc=dict(type='SegmentSmoothL1Loss', beta=1.0, loss_weight=10.0),
        loss_quality=dict(type='QualityBCELoss', loss_weight=1.0),
        init_cfg=dict(type='Xavier', layer='Conv1d', distribution='uniform'),
    ),
    # Not in the paper: in training STT and FSA classify every position by themselves.
    auxiliary_head=dict(type='DenseClassificationHead', with_background=True),
    test_cfg=dict(
        score_thr=0.01,
        nms=dict(method='gaussian', sigma=0.3, min_score=0.001, max_keep=5000),
        max_per_video=None,
        clamp=True,
    ),
)
