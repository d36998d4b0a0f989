"""Windows of pre-extracted features as a data set."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from mmaction.registry import DATASETS

from ..structures.annotations import AnnotationError, VideoAnnotation
from ..structures.timebase import frames_to_seconds, mean_rate
from .sources import SourceFinder
from .stored import open_features
from .tal_dataset import TALDataset
from .video import VideoReadError

# Streams may differ by so many rows: flow has a frame less than RGB.
_ROW_TOLERANCE = 2


class _FeatureFinder:
    """Finds the files of all streams of a video, one folder per stream."""

    def __init__(self, folders: Sequence[str], file_tmpl: str | None) -> None:
        self._finders = [SourceFinder(f, 'features', file_tmpl) for f in folders]

    def expected(self, video_id: str, file: str | None = None) -> str:
        """Where the first missing file should be."""
        missing = (f for f in self._finders if f.find(video_id, file) is None)
        return next(missing, self._finders[0]).expected(video_id, file)

    def find(self, video_id: str, file: str | None = None) -> tuple[str, ...] | None:
        """The path of every stream; None if one is missing."""
        found = [finder.find(video_id, file) for finder in self._finders]
        return None if None in found else tuple(found)


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
        feature_window: Source frames that a row was computed from, by default the
            stride: row i saw ``[i * stride, i * stride + window)`` and stands for
            the middle.
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
        frames_only = {'sample_fps', 'modality', 'filename_tmpl', 'start_index'}
        unknown = sorted(frames_only.intersection(kwargs))
        if unknown:
            raise ValueError(
                f'TALFeatureDataset does not take {unknown}: features have '
                'feature_stride, feature_window and source_fps'
            )
        if feature_window is None:
            feature_window = feature_stride
        if not (feature_stride > 0 and feature_window > 0):
            raise ValueError(
                'feature_stride and feature_window must be positive, got '
                f'{feature_stride} and {feature_window}'
            )
        self.feature_stride, self.feature_window = feature_stride, feature_window
        super().__init__(ann_file, source_type='features', **kwargs)

    def _finder(self) -> _FeatureFinder:
        return _FeatureFinder(list(self.data_prefix.values()), self.file_tmpl)

    def _sampling(self) -> Callable[[VideoAnnotation, Sequence[str]], dict]:
        return self._facts

    def _facts(self, video: VideoAnnotation, sources: Sequence[str]) -> dict:
        """The keys of a window that are the same in the whole video."""
        lengths = [len(open_features(source)) for source in sources]
        rows = min(lengths)
        if max(lengths) - rows > _ROW_TOLERANCE:
            raise VideoReadError(
                f'{", ".join(sources)}: the streams have {lengths} rows; extract them '
                'again with equal settings'
            )
        stride, window = self.feature_stride, self.feature_window
        covered = (rows - 1) * stride + window  # source frames that the rows saw
        duration, fps = video.duration, self.source_fps or video.fps
        if fps is None and duration is None:
            raise AnnotationError(f'{video.video_id}: neither "fps" nor "duration"')
        fps = fps or mean_rate(covered, duration)
        covered_s = frames_to_seconds(covered, fps)
        if self.num_frames_per_video is None:
            # Row 0 begins half a row before its middle.
            count, sample_fps, start = rows, fps / stride, window / (2 * stride) - 0.5
        else:
            count, start = self.num_frames_per_video, 0
            sample_fps = mean_rate(count * fps, covered)
        return dict(
            video_id=video.video_id,
            source=sources[0],
            sources=tuple(sources),
            source_fps=fps,
            annotated_fps=video.fps,
            duration=duration or covered_s,
            covered_s=covered_s,
            num_rows=rows,
            feature_grid=(stride, window),
            num_sampled_frames=count,
            sample_fps=sample_fps,
            grid_start_f=start,
        )
