"""Windows of pre-extracted features as a data set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from mmaction.registry import DATASETS

from ..structures.annotations import AnnotationError, VideoAnnotation
from ..structures.timebase import frames_to_cells, frames_to_seconds, mean_rate
from .sources import SourceFinder
from .stored import open_features
from .tal_dataset import TALDataset
from .video import VideoReadError

# Streams may differ by so many rows: flow has a frame less than RGB.
_ROW_TOLERANCE = 2


@dataclass(frozen=True)
class FeatureGrid:
    """Where in time the rows of a feature file are.

    Row i was computed from the source frames ``[i * stride, i * stride + window)``
    and stands for their middle.

    Attributes:
        stride: Source frames from one row to the next.
        window: Source frames that one row was computed from.
    """

    stride: float
    window: float

    def __post_init__(self) -> None:
        if not (self.stride > 0 and self.window > 0):
            raise ValueError(
                f'feature_stride and feature_window must be positive, got '
                f'{self.stride} and {self.window}'
            )

    @property
    def start(self) -> float:
        """Where row 0 begins, in rows: its middle is half a row later."""
        return self.window / (2 * self.stride) - 0.5

    def covered(self, num_rows: int) -> float:
        """Source frames that ``num_rows`` rows have seen."""
        return (num_rows - 1) * self.stride + self.window


class FeatureFinder:
    """Finds the files of all streams of a video.

    Args:
        folders: One folder per stream.
        file_tmpl: See :class:`SourceFinder`.
    """

    def __init__(self, folders: Sequence[str], file_tmpl: str | None = None) -> None:
        self._finders = [SourceFinder(f, 'features', file_tmpl) for f in folders]

    def expected(self, video_id: str, file: str | None = None) -> str:
        """Where the first missing file should be."""
        for finder in self._finders:
            if finder.find(video_id, file) is None:
                return finder.expected(video_id, file)
        return self._finders[0].expected(video_id, file)

    def find(self, video_id: str, file: str | None = None) -> tuple[str, ...] | None:
        """The path of every stream; None if one is missing."""
        found = [finder.find(video_id, file) for finder in self._finders]
        return None if None in found else tuple(found)


class FeatureSampling:
    """Determines rate and length of the features of each video.

    Args:
        grid: Where the rows are.
        source_fps: Frame rate of all sources. None: the
            annotation's "fps", or what makes the rows fill the duration.
        num_rows: Interpolate the rows of every video to so many.
    """

    def __init__(
        self, grid: FeatureGrid, source_fps: float | None, num_rows: int | None
    ) -> None:
        self.grid = grid
        self.source_fps = source_fps
        self.num_rows = num_rows

    def __call__(self, video: VideoAnnotation, sources: Sequence[str]) -> dict:
        """Describes one video.

        Args:
            video: Annotation.
            sources: File of each stream.

        Returns:
            The keys of a window that are the same in the whole video.

        Raises:
            AnnotationError: If neither rate nor duration is known.
            VideoReadError: If a file is unusable.
        """
        lengths = [len(open_features(source)) for source in sources]
        rows = min(lengths)
        if max(lengths) - rows > _ROW_TOLERANCE:
            raise VideoReadError(
                f'{", ".join(sources)}: the streams have {lengths} rows; extract them '
                'again with equal settings'
            )
        covered = self.grid.covered(rows)
        duration, fps = video.duration, self.source_fps or video.fps
        if fps is None and duration is None:
            raise AnnotationError(f'{video.video_id}: neither "fps" nor "duration"')
        fps = fps or mean_rate(covered, duration)
        facts = dict(
            video_id=video.video_id,
            source=sources[0],
            sources=tuple(sources),
            source_fps=fps,
            annotated_fps=video.fps,
            duration=duration or frames_to_seconds(covered, fps),
            covered_s=frames_to_seconds(covered, fps),
            num_rows=rows,
            feature_grid=(self.grid.stride, self.grid.window),
        )
        if self.num_rows is None:
            return dict(
                facts,
                num_sampled_frames=rows,
                sample_fps=frames_to_cells(fps, self.grid.stride),
                grid_start_f=self.grid.start,
            )
        return dict(
            facts,
            num_sampled_frames=self.num_rows,
            sample_fps=self.num_rows * fps / covered,
            grid_start_f=0,
        )


@DATASETS.register_module()
class TALFeatureDataset(TALDataset):
    """Windows of features instead of frames; a row stands for a sampled frame.

    One file (T, C) per video, or several whose channels are joined (RGB and flow). The
    formats: :func:`~mmtal_mts.datasets.stored.open_features`.
    ``sample_fps`` follows from the stride and the frame rate.

    Args:
        data_prefix: ``video``: folder of the features; any further keys:
            folders of further streams, in this order.
        feature_stride: Source frames from one row to the next.
        feature_window: Source frames that a row was computed from.
            By default the stride.
        source_fps: Frame rate at which features were extracted. By
            default the annotation's "fps", or what makes the rows fill the duration.
        num_frames_per_video: Interpolate the rows of every video
            linearly to so many, which gives one window per video.
        **kwargs: See :class:`TALDataset`; those about frames are not taken.

    Raises:
        AnnotationError: See :class:`TALDataset`.
        FileNotFoundError: See :class:`TALDataset`.
        VideoReadError: See :class:`TALDataset`.
        ValueError: If an argument makes no sense.
    """

    source_types = ('features',)

    def __init__(
        self,
        ann_file: str,
        feature_stride: float,
        feature_window: float | None = None,
        **kwargs: Any,
    ) -> None:
        unknown = {'sample_fps', 'modality', 'filename_tmpl', 'start_index'} & set(
            kwargs
        )
        if unknown:
            raise ValueError(
                f'TALFeatureDataset does not take {sorted(unknown)}: features have '
                'feature_stride, feature_window and source_fps'
            )
        self.grid = FeatureGrid(feature_stride, feature_window or feature_stride)
        super().__init__(ann_file, source_type='features', **kwargs)

    def _finder(self) -> FeatureFinder:
        return FeatureFinder(list(self.data_prefix.values()), self.file_tmpl)

    def _sampling(self) -> FeatureSampling:
        return FeatureSampling(self.grid, self.source_fps, self.num_frames_per_video)
