"""What can be wrong with annotations, and where it is."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from mmtal_mts.structures.annotations import Finding


@dataclass(frozen=True)
class Kind:
    """A sort of problem.

    Attributes:
        severity (str): 'error': training would fail or learn something wrong.
            'warning': training works, but a person should know.
        title (str): What it is, after a number.
    """

    severity: str
    title: str


KINDS: dict[str, Kind] = {
    'duplicate-key': Kind('error', 'keys stand more than once in the same object'),
    'malformed': Kind('error', 'entries are malformed'),
    'unknown-label': Kind('error', 'actions have a label that is not a class'),
    'not-positive': Kind('error', 'actions end before or when they start'),
    'before-start': Kind('error', 'actions start before the video'),
    'outside': Kind('error', 'actions lie wholly outside the video'),
    'beyond-end': Kind('error', 'actions end after the end of the video'),
    'no-duration': Kind('error', 'videos have no "duration"'),
    'missing-video': Kind('error', 'videos are missing'),
    'unreadable-video': Kind('error', 'videos cannot be read'),
    'duration-mismatch': Kind('error', 'durations contradict the videos'),
    'frame-count': Kind('error', 'videos do not have the number of frames extracted'),
    'stream-mismatch': Kind('error', 'videos differ in length between two folders'),
    'duplicate': Kind('warning', 'actions stand there twice'),
    'double-label': Kind('warning', 'actions have the segment of another class'),
    'too-short': Kind('warning', 'actions are shorter than two sampled frames'),
    'fps-contradiction': Kind(
        'warning', 'videos have frame columns that contradict their seconds'
    ),
    # Frames are picked by the file's own rate; but who wrote the seconds may not have.
    'fps-mismatch': Kind('warning', 'frame rates contradict the videos'),
    'uncovered': Kind('warning', 'actions are in no kept training window'),
    'no-location': Kind('warning', 'actions are between the locations of all levels'),
    'shadowed': Kind(
        'warning', 'actions lose all their locations to others at the same time'
    ),
    'no-window': Kind('warning', 'videos with actions have no training window'),
    'class-missing': Kind('warning', 'classes have no action in a subset'),
    'extra-video': Kind('warning', 'videos have no annotation'),
}
"""All kinds, errors first."""


class Findings(list):
    """A list of :class:`Finding`."""

    def of(self, kind: str) -> list[Finding]:
        """Returns those of one kind, the worst first."""
        found = [finding for finding in self if finding.kind == kind]
        return sorted(found, key=lambda finding: -finding.weight)

    @property
    def num_errors(self) -> int:
        """int: How many make training unsafe."""
        return sum(KINDS[finding.kind].severity == 'error' for finding in self)

    @property
    def num_warnings(self) -> int:
        """int: How many do not."""
        return len(self) - self.num_errors

    def counts(self) -> dict[str, int]:
        """Returns the number of each kind that occurs, errors first."""
        found = Counter(finding.kind for finding in self)
        return {kind: found[kind] for kind in KINDS if found[kind]}

    def add(
        self,
        kind: str,
        video_id: str | None,
        index: int | None,
        message: str,
        group: str = '',
        weight: float = 0.0,
    ) -> None:
        """Appends a finding."""
        self.append(Finding(kind, video_id, index, message, group, weight))
