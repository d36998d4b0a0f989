from .backbones import BackboneAdapter, FeatureEmbedding, InceptionI3D
from .detectors import TALMTS, TwoStreamTALMTS
from .heads import BoundaryRefineHead, CoarseHead, FrameSelfAttention
from .losses import (
    BoundaryBCELoss,
    BoundaryTripletLoss,
    QualityBCELoss,
    SegmentGIoULoss,
    SegmentSmoothL1Loss,
    SoftmaxFocalLoss,
)
from .necks import (
    FrameLevelFeature,
    MultiTemporalScaleNeck,
    RefinedFeaturePyramid,
    SpatialTemporalTransformer,
    TemporalPyramid,
)
from .task_modules import (
    BoundaryCurveGenerator,
    BoundaryRegionGenerator,
    CoarseToFineDecoder,
    SegmentAssigner,
    SegmentPointGenerator,
)

__all__ = [
    'BackboneAdapter',
    'BoundaryBCELoss',
    'BoundaryCurveGenerator',
    'BoundaryRefineHead',
    'BoundaryRegionGenerator',
    'BoundaryTripletLoss',
    'CoarseHead',
    'CoarseToFineDecoder',
    'FeatureEmbedding',
    'FrameLevelFeature',
    'FrameSelfAttention',
    'InceptionI3D',
    'MultiTemporalScaleNeck',
    'QualityBCELoss',
    'RefinedFeaturePyramid',
    'SegmentAssigner',
    'SegmentGIoULoss',
    'SegmentPointGenerator',
    'SegmentSmoothL1Loss',
    'SoftmaxFocalLoss',
    'SpatialTemporalTransformer',
    'TALMTS',
    'TemporalPyramid',
    'TwoStreamTALMTS',
]
