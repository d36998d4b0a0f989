"""Loading the features of one window."""

from __future__ import annotations

import numpy as np
from mmaction.registry import TRANSFORMS
from mmcv.transforms import BaseTransform

from .stored_features import open_features
from .video_readers import VideoReadError


@TRANSFORMS.register_module()
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
        channels (int): C, of all streams together.

    Raises:
        VideoReadError: If a file is unusable.
    """

    def __init__(self, channels: int) -> None:
        if channels < 1:
            raise ValueError(f'channels={channels} of LoadFeatures: use a number >= 1')
        self.channels = channels

    def transform(self, results: dict) -> dict:
        """Adds the features of the window.

        Args:
            results (dict): One window, see Required Keys.

        Returns:
            dict: The same dict with the Added Keys.
        """
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
            told = ' + '.join(map(str, found))
            lengths = [len(array) for array in arrays]
            turned = sum(lengths) == self.channels
            raise VideoReadError(
                f'{", ".join(sources)}: {told} channels, but LoadFeatures has channels='
                f'{self.channels}; '
                + (
                    'the files are (C, T): transpose them'
                    if turned
                    else 'correct it and in_channels of the model, or the folders'
                )
            )
        if results['num_sampled_frames'] == results['num_rows']:
            first = round(results['window_offset'] - results['grid_start_f'])
            rows = slice(
                first, min(first + results['clip_len'], results['num_sampled_frames'])
            )
            parts = [np.asarray(array[rows], dtype=np.float32) for array in arrays]
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

    def __repr__(self) -> str:
        return f'{self.__class__.__name__}(channels={self.channels})'
