"""What others computed of videos: features, and scores of a classifier."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from mmaction.registry import DATASETS, TRANSFORMS
from mmcv.transforms import BaseTransform

from ..structures.annotations import AnnotationError, VideoAnnotation
from ..structures.timebase import frames_to_seconds, mean_rate
from ..utils.io import read_json
from .stored import open_array
from .tal_dataset import TALDataset
from .video import VideoReadError


@DATASETS.register_module()
class TALFeatureDataset(TALDataset):
    """Windows of features instead of frames; a row stands for a sampled frame.

    One file (T, C) per video, or several whose channels are joined (RGB and flow). The
    formats: :func:`~mmtal_mts.datasets.stored.open_array`.
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
        AnnotationError: As :class:`TALDataset` does, like the other errors.
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
        for name in ('sample_fps', 'modality', 'filename_tmpl', 'start_index'):
            if name in kwargs:
                raise ValueError(
                    f'TALFeatureDataset does not take {name!r}: features have '
                    'feature_stride, feature_window and source_fps'
                )
        if feature_window is None:
            feature_window = feature_stride
        self.feature_grid = (feature_stride, feature_window)
        if not (feature_stride > 0 and feature_window > 0):
            raise ValueError(
                f'feature_stride={feature_stride} and feature_window={feature_window} '
                'must be positive'
            )
        super().__init__(ann_file, source_type='features', **kwargs)

    def _describe(
        self, video: VideoAnnotation, sources: Sequence[str], record: Any
    ) -> dict[str, Any]:
        """The keys of a window that are the same in the whole video."""
        lengths = [len(open_array(source, 'features')) for source in sources]
        rows = min(lengths)
        # Flow has a frame less than RGB.
        if max(lengths) - rows > 2:
            raise VideoReadError(
                f'{", ".join(sources)}: the streams have {lengths} rows; extract them '
                'again with equal settings'
            )
        stride, window = self.feature_grid
        covered = (rows - 1) * stride + window  # source frames that the rows saw
        duration, fps = video.duration, self.sampling['source_fps'] or video.fps
        if fps is None and duration is None:
            raise AnnotationError(f'{video.video_id}: neither "fps" nor "duration"')
        fps = fps or mean_rate(covered, duration)
        covered_s = frames_to_seconds(covered, fps)
        # Row 0 begins half a row before its middle.
        count, sample_fps, start = rows, fps / stride, window / (2 * stride) - 0.5
        if self.sampling['num_frames'] is not None:
            count, start = self.sampling['num_frames'], 0
            sample_fps = mean_rate(count * fps, covered)
        facts = dict(video_id=video.video_id, source=sources[0], sources=tuple(sources))
        facts.update(source_fps=fps, annotated_fps=video.fps, sample_fps=sample_fps)
        facts.update(duration=duration or covered_s, covered_s=covered_s, num_rows=rows)
        facts.update(feature_grid=self.feature_grid, num_sampled_frames=count)
        return dict(facts, grid_start_f=start)


@TRANSFORMS.register_module()
@dataclass(eq=False)
class LoadFeatures(BaseTransform):
    """Reads the rows of one window and joins the channels of all streams.

    Rows after the end of the video are zeros. Where the data set has a fixed number
    of rows per video, the rows are interpolated linearly in time.

    Required Keys (as :class:`TALFeatureDataset` gives them):

    - sources, num_rows, feature_grid
    - num_sampled_frames, window_offset, grid_start_f, clip_len
    - broken (optional, True returns zeros without reading)

    Added Keys: features ((C, clip_len) float32 array).

    Args:
        channels: C, of all streams together.

    Raises:
        VideoReadError: If a file is unusable.
    """

    channels: int

    def __post_init__(self) -> None:
        if self.channels < 1:
            raise ValueError(f'channels={self.channels} of LoadFeatures: use 1 or more')

    def transform(self, results: dict) -> dict:
        """Adds the features of the window."""
        features = np.zeros((self.channels, results['clip_len']), dtype=np.float32)
        results['features'] = features
        if results.get('broken'):
            return results
        place = ', '.join(results['sources'])
        arrays = [open_array(source, 'features') for source in results['sources']]
        found = [array.shape[1] for array in arrays]
        if sum(found) != self.channels:
            remedy = 'correct it and in_channels of the model, or the folders'
            if sum(map(len, arrays)) == self.channels:
                remedy = 'the files are (C, T): transpose them'
            raise VideoReadError(
                f'{place}: {" + ".join(map(str, found))} channels, but LoadFeatures '
                f'has channels={self.channels}; {remedy}'
            )
        num_rows, wanted = results['num_rows'], results['num_sampled_frames']
        first, end = 0, num_rows
        if num_rows == wanted:
            first = round(results['window_offset'] - results['grid_start_f'])
            end = min(first + results['clip_len'], num_rows)
        parts = [np.asarray(array[first:end], dtype=np.float32) for array in arrays]
        rows = np.concatenate(parts, axis=1)
        if num_rows != wanted:
            # Rows at the middles of equal parts of what the features have seen.
            stride, window = results['feature_grid']
            covered = (num_rows - 1) * stride + window
            middle = (np.arange(wanted) + 0.5) * covered / wanted  # source frames
            at = np.clip((middle - window / 2) / stride, 0, num_rows - 1)
            left = np.floor(at).astype(int)
            right = np.minimum(left + 1, num_rows - 1)
            share = (at - left).astype(np.float32)[:, None]
            rows = rows[left] * (1 - share) + rows[right] * share
        if not np.isfinite(rows).all():
            raise VideoReadError(f'{place}: holds NaN or infinity; extract it again')
        features[:, : len(rows)] = rows.T
        return results


@TRANSFORMS.register_module()
@dataclass(eq=False)
class LoadVideoScores(BaseTransform):
    """Looks up which classes a classifier sees in the video as a whole.

    On ActivityNet, AFSD (whose setup the paper follows) finds actions without their
    class and takes the class from the best one of such a classifier; the product of
    both scores ranks the detections.

    Three layouts of the JSON file are read; ids with and without ``v_`` in front are
    the same video:

    - ``{"class": [NAME, ...], "results": {VIDEO: [SCORE, ...]}}``
    - ``{VIDEO: {"class": NAME, "score": SCORE}}``, the best class only
    - ``{VIDEO: {NAME: SCORE, ...}}``

    Required Keys:

    - video_id
    - video_classes (as ``TALDataset(class_agnostic=True)`` gives them)

    Added Keys: video_scores (dict of ``labels`` and ``scores``).

    Args:
        ann_file: The JSON file.
        top_k: How many of the best classes to take.

    Raises:
        ValueError: If the file has another layout, a name that is no class, or
            nothing about a video.
    """

    ann_file: str
    top_k: int = 1

    def __post_init__(self) -> None:
        if self.top_k < 1:
            raise ValueError(f'top_k={self.top_k} of LoadVideoScores: use 1 or more')
        if not Path(self.ann_file).exists():
            raise ValueError(
                f'{self.ann_file}: the scores of the video classifier are not there; '
                'put the file there, or take LoadVideoScores out of the pipeline and '
                'evaluate with class_agnostic=True'
            )
        data = read_json(self.ann_file)
        videos = data.get('results', data) if isinstance(data, dict) else data
        if not isinstance(videos, dict):
            raise ValueError(
                f'{self.ann_file}: expected an object of videos, got a '
                f'{type(videos).__name__}; see LoadVideoScores for the layouts'
            )
        self._names = data.get('class')
        self._videos = {key.removeprefix('v_'): videos[key] for key in videos}

    def transform(self, results: dict) -> dict:
        """Adds the scores of the video, best first: (k,) int64 and (k,) float32."""
        video_id, classes = results['video_id'], results.get('video_classes')
        if classes is None:
            raise ValueError(
                'LoadVideoScores needs TALDataset(class_agnostic=True): a data set '
                'with classes of its own takes none from a classifier'
            )
        entry = self._videos.get(video_id.removeprefix('v_'))
        if entry is None:
            raise ValueError(
                f'{self.ann_file}: no scores of video {video_id}; add them, or leave '
                'the video out with filter_cfg=dict(exclude_videos=[...])'
            )
        names, values = self._names, entry
        if isinstance(entry, dict) and set(entry) == {'class', 'score'}:
            names, values = [entry['class']], [entry['score']]
        elif isinstance(entry, dict):
            names, values = list(entry), list(entry.values())
        try:
            scores = np.asarray(values, dtype=np.float32)
            fits = scores.shape == (len(names),) and np.isfinite(scores).all()
        except (TypeError, ValueError):
            fits = False
        if not fits:
            raise ValueError(
                f'{self.ann_file}: the entry of video {video_id} is not one finite '
                'score per class; see LoadVideoScores for the layouts'
            )
        order = np.argsort(-scores, kind='stable')[: self.top_k]
        best = [names[i] for i in order]
        strange = [name for name in best if name not in classes]
        if strange:
            raise ValueError(
                f'{self.ann_file}: video {video_id} has class(es) {strange}, which are '
                'not among the classes of the annotation'
            )
        labels = np.array([classes.index(name) for name in best], dtype=np.int64)
        results['video_scores'] = dict(labels=labels, scores=scores[order])
        return results
