"""Named ways in which published numbers were computed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

_THUMOS14 = (0.3, 0.4, 0.5, 0.6, 0.7)
_ACTIVITYNET = (0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95)


@dataclass(frozen=True)
class EvaluationProtocol:
    """What is evaluated, and at which thresholds.

    Attributes:
        tiou_thresholds (tuple[float, ...]): Thresholds whose mAP is averaged.
        exclude_videos (tuple[str, ...]): Videos that are left out.
        num_videos (int, optional): Number of videos of the published numbers.
        num_segments (int, optional): Number of their segments.
        on_invalid (str): What becomes of segments that are not (wholly) in their
            video, see :func:`mmtal_mts.structures.annotations.load_annotations`.
    """

    tiou_thresholds: tuple[float, ...]
    exclude_videos: tuple[str, ...] = ()
    num_videos: int | None = None
    num_segments: int | None = None
    on_invalid: str = 'keep'

    def differences(self, counts: Mapping[str, int]) -> str:
        """Say how the evaluated ground truth differs from the published one.

        Args:
            counts (Mapping[str, int]): ``videos`` and ``segments`` evaluated.

        Returns:
            str: One sentence, '' if both numbers are those of the protocol.
        """
        if self.num_videos is None:
            return ''
        expected = (self.num_videos, self.num_segments)
        found = (counts['videos'], counts['segments'])
        if found == expected:
            return ''
        return (
            f'the ground truth has {found[1]} segments in {found[0]} videos, but '
            f'published numbers rest on {expected[1]} in {expected[0]}: '
            'both are not on the same scale'
        )


PROTOCOLS: Mapping[str, EvaluationProtocol] = MappingProxyType(
    {
        # Test videos with a segment of the 20 classes: 212 in the official files.
        'thumos14': EvaluationProtocol(_THUMOS14, num_videos=212, num_segments=3358),
        'thumos14-afsd': EvaluationProtocol(
            _THUMOS14,
            ('video_test_0000270', 'video_test_0001292', 'video_test_0001496'),
            210,
            3311,
        ),
        # Without the four segments of other videos that end behind their video.
        'thumos14-opentad': EvaluationProtocol(
            _THUMOS14, ('video_test_0000270',), 211, 3325, on_invalid='drop'
        ),
        'activitynet': EvaluationProtocol(_ACTIVITYNET),
    }
)
"""By name. 'thumos14' is that of ActionFormer."""
