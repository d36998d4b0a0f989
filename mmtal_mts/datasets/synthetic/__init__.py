"""A generator of untrimmed videos whose actions only motion tells apart."""

from .generate import generate_dataset
from .motions import CLASSES
from .video import SyntheticSettings, SyntheticVideo

__all__ = ['CLASSES', 'SyntheticSettings', 'SyntheticVideo', 'generate_dataset']
