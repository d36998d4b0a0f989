"""A second source of the same window, for networks of two streams."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
from mmaction.registry import TRANSFORMS
from mmcv.transforms import BaseTransform

from ..extraction_record import read_record
from ..sources import SourceFinder
from .loading import LoadClip
from .stored_frames import CHANNELS
from .video_readers import VideoReadError


@TRANSFORMS.register_module()
class AppendClip(BaseTransform):
    """Loads the window from a second source and appends its channels to the first.

    Comes after LoadClip, and after a Resize if the first source is of another size;
    crops that follow cut both alike.

    Required Keys: those of :class:`LoadClip`, and imgs (list of (H, W, C) arrays).

    Modified Keys: imgs (list of (H, W, C + C2) arrays).

    Args:
        folder (str): Folder of the second sources.
        data_root (str): Root of ``folder``.
        source_type (str): 'npy', 'frames' or 'video'.
        modality (str): 'Flow' or 'RGB'.
        file_tmpl (str, optional): See :class:`~mmtal_mts.datasets.TALDataset`.
        filename_tmpl (str): Name of an image in a frame folder.
        start_index (int): Number of the first image in a frame folder.
        source_fps (float, optional): Frame rate of all second sources. None takes
            that of a video file or of the extraction, else frames that are sampled
            already.
        **load (Any): Settings of :class:`LoadClip`.

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
        self.finder = SourceFinder(
            os.path.join(data_root, folder), source_type, file_tmpl
        )
        self.record = (
            None if source_type == 'video' else read_record(self.finder.folder)
        )
        self.source_type = source_type
        self.modality = modality
        self.filename_tmpl = filename_tmpl
        self.start_index = start_index
        self.source_fps = source_fps
        self.load = LoadClip(**load)

    def transform(self, results: dict) -> dict:
        """Appends the second clip.

        Args:
            results (dict): See Required Keys.

        Returns:
            dict: The same dict.
        """
        video_id = results['video_id']
        source = self.finder.find(video_id)
        if source is None:
            raise VideoReadError(
                f'{self.finder.expected(video_id)}: missing second source of video '
                f'{video_id}'
            )
        source_fps = self.source_fps
        if source_fps is None and self.source_type != 'video':
            if self.record is None:
                source_fps = results['sample_fps']
            else:
                source_fps = self.record.rate(results['duration'])
        second = self.load(
            dict(
                results,
                source=source,
                source_type=self.source_type,
                modality=self.modality,
                source_fps=source_fps,
                filename_tmpl=self.filename_tmpl,
                start_index=self.start_index,
            )
        )
        sizes = [clip['imgs'][0].shape[:2] for clip in (results, second)]
        if results.get('broken'):
            second['imgs'] = [
                np.resize(img, (*sizes[0], img.shape[2])) for img in second['imgs']
            ]
        elif sizes[0] != sizes[1]:
            raise ValueError(
                f'video {video_id}: frames are {sizes[0]}, those of {source} are '
                f'{sizes[1]} (height, width). Put a Resize to {sizes[1]} before '
                'AppendClip, or extract at the other size'
            )
        results['imgs'] = [
            np.concatenate(pair, axis=2)
            for pair in zip(results['imgs'], second['imgs'])
        ]
        return results

    def __repr__(self) -> str:
        return (
            f'{self.__class__.__name__}(folder={self.finder.folder!r}, '
            f'source_type={self.source_type!r}, modality={self.modality!r}, '
            f'source_fps={self.source_fps})'
        )
