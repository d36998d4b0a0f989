from .tal_mts import TALMTS

__all__ = ['TALMTS']
