"""Videos made up for a diagnosis."""

from __future__ import annotations

import numpy as np
import pytest

from mmtal_mts.structures import VideoAnnotation


@pytest.fixture(scope='session')
def video():
    """Makes the ground truth of a video."""

    def _make(segments, labels, duration=100.0, name='v'):
        return VideoAnnotation(
            name,
            'test',
            duration,
            None,
            None,
            np.array(segments, dtype=float).reshape(-1, 2),
            np.array(labels, dtype=int),
        )

    return _make
