from .frame_level_feature import FrameLevelFeature
from .multi_temporal_scale_neck import MultiTemporalScaleNeck
from .refined_feature_pyramid import RefinedFeaturePyramid
from .spatial_temporal_transformer import SpatialTemporalTransformer
from .temporal_pyramid import TemporalPyramid

__all__ = [
    'FrameLevelFeature',
    'MultiTemporalScaleNeck',
    'RefinedFeaturePyramid',
    'SpatialTemporalTransformer',
    'TemporalPyramid',
]
