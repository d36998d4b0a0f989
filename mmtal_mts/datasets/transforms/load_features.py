"""Loading what others computed of a video: features, and scores of its classes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from mmaction.registry import TRANSFORMS
from mmcv.transforms import BaseTransform

from ...utils.io import read_json
from ..stored import open_features
from ..video import VideoReadError


@TRANSFORMS.register_module()
@dataclass(eq=False)
class LoadFeatures(BaseTransform):
    """Reads the rows of one window and joins the channels of all streams.

    Rows after the end of the video are zeros. Where the data set has a fixed number
    of rows per video, the rows are interpolated linearly in time.

    Required Keys (as :class:`~mmtal_mts.datasets.TALFeatureDataset` gives them):

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
            raise ValueError(
                f'channels={self.channels} of LoadFeatures: use a number >= 1'
            )

    def transform(self, results: dict) -> dict:
        """Adds the features of the window."""
        features = np.zeros((self.channels, results['clip_len']), dtype=np.float32)
        if not results.get('broken'):
            rows = self._read(results)  # (M, C), M <= clip_len
            features[:, : len(rows)] = rows.T
        results['features'] = features
        return results

    def _read(self, results: dict) -> np.ndarray:
        sources = results['sources']
        arrays = [open_features(source) for source in sources]
        found = [array.shape[1] for array in arrays]
        if sum(found) != self.channels:
            remedy = 'correct it and in_channels of the model, or the folders'
            if sum(map(len, arrays)) == self.channels:
                remedy = 'the files are (C, T): transpose them'
            raise VideoReadError(
                f'{", ".join(sources)}: {" + ".join(map(str, found))} channels, but '
                f'LoadFeatures has channels={self.channels}; {remedy}'
            )
        if results['num_sampled_frames'] == results['num_rows']:
            first = round(results['window_offset'] - results['grid_start_f'])
            end = min(first + results['clip_len'], results['num_sampled_frames'])
            parts = [np.asarray(array[first:end], np.float32) for array in arrays]
        else:
            parts = [self._interpolate(array, results) for array in arrays]
        joined = np.concatenate(parts, axis=1)
        if not np.isfinite(joined).all():
            raise VideoReadError(
                f'{", ".join(sources)}: the features hold NaN or infinite numbers; '
                'extract them again'
            )
        return joined

    @staticmethod
    def _interpolate(array: np.ndarray, results: dict) -> np.ndarray:
        """Rows at the middles of equal parts of what the features have seen."""
        stride, window = results['feature_grid']
        num_rows, wanted = results['num_rows'], results['num_sampled_frames']
        covered = (num_rows - 1) * stride + window
        middle = (np.arange(wanted) + 0.5) * covered / wanted  # source frames
        place = np.clip((middle - window / 2) / stride, 0, num_rows - 1)
        left = np.floor(place).astype(int)
        right = np.minimum(left + 1, num_rows - 1)
        share = (place - left).astype(np.float32)[:, None]
        array = np.asarray(array, dtype=np.float32)
        return array[left] * (1 - share) + array[right] * share


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
            raise ValueError(
                f'top_k={self.top_k} of LoadVideoScores: use a number >= 1'
            )
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
        names, scores = self._read(video_id, entry)
        order = np.argsort(-scores, kind='stable')[: self.top_k]
        strange = [names[i] for i in order if names[i] not in classes]
        if strange:
            raise ValueError(
                f'{self.ann_file}: video {video_id} has class(es) {strange}, which are '
                'not among the classes of the annotation'
            )
        results['video_scores'] = dict(
            labels=np.array([classes.index(names[i]) for i in order], dtype=np.int64),
            scores=scores[order],
        )
        return results

    def _read(self, video_id: str, entry: object) -> tuple[Sequence[str], np.ndarray]:
        if isinstance(entry, dict) and set(entry) == {'class', 'score'}:
            names, values = [entry['class']], [entry['score']]
        elif isinstance(entry, dict):
            names, values = list(entry), list(entry.values())
        else:
            names, values = self._names, entry
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
        return names, scores
