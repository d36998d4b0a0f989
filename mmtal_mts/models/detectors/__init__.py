from .tal_mts import TALMTS
from .two_stream import TwoStreamTALMTS

__all__ = ['TALMTS', 'TwoStreamTALMTS']
