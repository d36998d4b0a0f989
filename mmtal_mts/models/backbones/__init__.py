"""Backbones: I3D, any of MMAction2 through an adapter, and features as input."""

from .backbone_adapter import BackboneAdapter
from .feature_embedding import FeatureEmbedding
from .inception_i3d import InceptionI3D
