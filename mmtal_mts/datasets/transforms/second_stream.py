"""A second source of the same window, for networks of two streams."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
from mmaction.registry import TRANSFORMS
from mmcv.transforms import BaseTransform

from ..sources import SourceFinder, read_record
from ..stored import CHANNELS
from ..video import VideoReadError
from .loading import LoadClip


@TRANSFORMS.register_module()
class AppendClip(BaseTransform):
    """Loads the window from a second source and appends its channels to the first.

    Comes after LoadClip, and after a Resize if the first source is of another size;
    crops that follow cut both alike. Where LoadClip reads an open video, the second
    source is the optical flow of that video, at the size of the frames so far.

    Required Keys: those of :class:`LoadClip`, and imgs (list of (H, W, C) arrays).

    Modified Keys: imgs (list of (H, W, C + C2) arrays).

    Args:
        folder: Folder of the second sources.
        data_root: Root of ``folder``.
        source_type: 'npy', 'frames' or 'video'.
        modality: 'Flow' or 'RGB'.
        file_tmpl: See :class:`~mmtal_mts.datasets.TALDataset`.
        filename_tmpl: Name of an image in a frame folder.
        start_index: Number of the first image in a frame folder.
        source_fps: Frame rate of all second sources. None takes that of a video file
            or of the extraction, else frames that are sampled already.
        **load: Settings of :class:`LoadClip`.

    Raises:
        ValueError: If an argument makes no sense, or the sizes differ.
        VideoReadError: If the second source is missing or unreadable.
    """

    def __init__(
        self,
        folder: str,
        data_root: str = '',
        source_type: str = 'npy',
        modality: str = 'Flow',
        file_tmpl: str | None = None,
        filename_tmpl: str = '{}_{:05}.jpg',
        start_index: int = 1,
        source_fps: float | None = None,
        **load: Any,
    ) -> None:
        if modality not in CHANNELS:
            raise ValueError(
                f'modality must be one of {tuple(CHANNELS)}, got {modality!r}'
            )
        folder = os.path.join(data_root, folder)
        self.finder = SourceFinder(folder, source_type, file_tmpl)
        self.record = None if source_type == 'video' else read_record(folder)
        self.source_type = source_type
        self.modality = modality
        self.filename_tmpl = filename_tmpl
        self.start_index = start_index
        self.source_fps = source_fps
        self.load = LoadClip(**load)

    def transform(self, results: dict) -> dict:
        """Appends the second clip.

        Args:
            results: See Required Keys.

        Returns:
            The same dict.
        """
        size = results['imgs'][0].shape[:2]
        second = self.load(dict(results, **self._source(results, size)))
        own_size = second['imgs'][0].shape[:2]
        if results.get('broken'):
            second['imgs'] = [
                np.resize(img, (*size, img.shape[2])) for img in second['imgs']
            ]
        elif size != own_size:
            raise ValueError(
                f'video {results["video_id"]}: frames are {size}, those of '
                f'{second["source"]} are {own_size} (height, width). Put a Resize to '
                f'{own_size} before AppendClip, or extract at the other size'
            )
        results['imgs'] = [
            np.concatenate(pair, axis=2)
            for pair in zip(results['imgs'], second['imgs'], strict=True)
        ]
        return results

    def _source(self, results: dict, size: tuple[int, int]) -> dict[str, Any]:
        """Where the second clip comes from."""
        if results.get('reader') is not None:
            if (results['modality'], self.modality) != ('RGB', 'Flow'):
                raise ValueError(
                    f'streams {results["modality"]} and {self.modality} cannot be made '
                    'from a video; RGB and Flow can'
                )
            return dict(modality='Flow', frame_size=size[::-1])
        video_id = results['video_id']
        source = self.finder.find(video_id)
        if source is None:
            raise VideoReadError(
                f'{self.finder.expected(video_id)}: missing second source of video '
                f'{video_id}'
            )
        source_fps = self.source_fps
        if source_fps is None and self.source_type != 'video':
            source_fps = results['sample_fps']
            if self.record is not None:
                source_fps = self.record.rate(results['duration'])
        return dict(
            source=source,
            source_type=self.source_type,
            modality=self.modality,
            source_fps=source_fps,
            filename_tmpl=self.filename_tmpl,
            start_index=self.start_index,
        )

    def __repr__(self) -> str:
        return (
            f'{self.__class__.__name__}(folder={self.finder.folder!r}, '
            f'source_type={self.source_type!r}, modality={self.modality!r}, '
            f'source_fps={self.source_fps})'
        )
