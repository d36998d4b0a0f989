"""Videos made up for a diagnosis."""

from __future__ import annotations

import pytest

from mmtal_mts.structures import Segments, VideoAnnotation


@pytest.fixture(scope='session')
def video():
    """Makes the ground truth of a video."""

    def _make(segments, labels, duration=100.0, name='v'):
        actions = Segments(segments, labels)
        return VideoAnnotation(name, 'test', duration, None, None, actions)

    return _make
