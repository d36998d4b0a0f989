"""What this project adds to MMAction2: one transform."""

from .brightness import RandomBrightness

__all__ = ['RandomBrightness']
