"""The neck and its parts."""

from .multi_temporal_scale_neck import (
    FrameLevelFeature,
    MultiTemporalScaleNeck,
    NeckFeatures,
    RefinedFeaturePyramid,
    TemporalPyramid,
    fit_neck,
    fit_warmup_head,
)
from .spatial_temporal_transformer import SpatialTemporalTransformer
