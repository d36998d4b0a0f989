from .backbone_adapter import BackboneAdapter
from .inception_i3d import InceptionI3D

__all__ = ['BackboneAdapter', 'InceptionI3D']
