"""A generator of untrimmed videos whose actions only motion tells apart."""

from .generate import SyntheticSettings, SyntheticVideo, generate_dataset
from .script import CLASSES

__all__ = ['CLASSES', 'SyntheticSettings', 'SyntheticVideo', 'generate_dataset']
