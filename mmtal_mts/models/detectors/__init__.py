"""The detector, and two of them side by side."""

from .tal_mts import DATA_PREPROCESSOR, TALMTS
from .two_stream_tal_mts import (
    TwoStreamTALMTS,
    check_weights,
    mean_raw_outputs,
    predict_streams,
    refine_head_without_weights,
)
