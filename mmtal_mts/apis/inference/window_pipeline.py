"""The test pipeline of a config, applied to frames as they are decoded."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Union

import numpy as np
from mmaction.datasets.transforms import CenterCrop, Resize
from mmengine.config import Config

from mmtal_mts.datasets import LoadClip, TALDataset
from mmtal_mts.datasets.streaming import FrameSampler, sliding_windows
from mmtal_mts.datasets.video_stream import ArrayStream, VideoStream
from mmtal_mts.datasets.windows import window_offsets
from mmtal_mts.structures.timebase import num_sampled_frames
from mmtal_mts.utils import UserError

Stream = Union[VideoStream, ArrayStream]

_FRAME_STEPS = (Resize, CenterCrop)
"""Transforms that treat each frame by itself, always the same way."""


class WindowPipeline:
    """Makes the windows of a video exactly as the test data set of a config does.

    Steps that see single frames run once per frame, before frames are held for
    overlapping windows, so that only small frames wait in memory. All other steps
    run on whole windows.

    Args:
        dataset (TALDataset): Test data set; its annotation is not needed.
        frame_size (int, optional): Side in pixels to which frames are resized first,
            for configs whose data are arrays of frames of that size.

    Raises:
        UserError: If the config needs more than the frames of a video.
    """

    def __init__(self, dataset: TALDataset, frame_size: int | None = None) -> None:
        if dataset.modality != 'RGB':
            raise UserError(
                f'the config has modality={dataset.modality!r}, but inference on '
                'videos reads RGB frames. Remedy: use the RGB config and its weights'
            )
        self.dataset = dataset
        steps = list(dataset.pipeline.transforms)
        if not steps or not isinstance(steps[0], LoadClip):
            raise UserError(
                'the test pipeline must begin with LoadClip to be used on videos, its '
                f'steps are {[type(step).__name__ for step in steps]}'
            )
        self.load_clip = steps.pop(0)
        self.frame_steps = []
        if dataset.source_type == 'npy' and frame_size is None:
            raise UserError(
                'the config reads arrays of frames that were resized beforehand. '
                'Remedy: give their size in pixels, e.g. --frame-size 112'
            )
        if frame_size is not None:
            size = (frame_size, frame_size)
            self.frame_steps.append(Resize(scale=size, keep_ratio=False))
        while steps and isinstance(steps[0], _FRAME_STEPS):
            self.frame_steps.append(steps.pop(0))
        self.window_steps = steps

    @classmethod
    def from_config(cls, cfg: Config, frame_size: int | None = None) -> WindowPipeline:
        """Takes the test data set of a config.

        Args:
            cfg (Config): With ``test_dataloader``.
            frame_size (int, optional): See :class:`WindowPipeline`.

        Returns:
            WindowPipeline: Ready to use.

        Raises:
            UserError: If there is no such data set.
        """
        loader = cfg.get('test_dataloader') or cfg.get('val_dataloader')
        if not loader:
            raise UserError(
                f'config {cfg.filename} has no test_dataloader, whose pipeline and '
                'window settings are needed'
            )
        settings = loader['dataset']
        while 'dataset' in settings:
            settings = settings['dataset']
        settings = dict(settings)
        if settings.pop('type', 'TALDataset') not in ('TALDataset', TALDataset):
            raise UserError(f'test_dataloader of {cfg.filename} is not a TALDataset')
        # A video of one's own has no scores of a classifier: its actions are found
        # without their class.
        settings['pipeline'] = [
            step
            for step in settings.get('pipeline', [])
            if step['type'] != 'LoadVideoScores'
        ]
        dataset = TALDataset(**{**settings, 'lazy_init': True, 'test_mode': True})
        return cls(dataset, frame_size)

    @property
    def classes(self) -> tuple[str, ...] | None:
        """Class names of the config, None if it relies on the annotation file."""
        if self.dataset.class_agnostic:
            return ('action',)
        classes = self.dataset.metainfo.get('classes')
        return None if classes is None else tuple(classes)

    def sampler(self, stream: Stream) -> FrameSampler:
        """Starts reading a video.

        Args:
            stream (VideoStream | ArrayStream): The video.

        Returns:
            FrameSampler: Its frames at the rate of the config.
        """
        fps, count = self.dataset.sample_fps, self.dataset.num_frames_per_video
        if count is not None:
            fps = float(count / stream.measure())
        return FrameSampler(stream.frames(), fps)

    def windows(self, sampler: FrameSampler, video_id: str) -> Iterator[dict]:
        """Yields what the data set would give for each window.

        Args:
            sampler (FrameSampler): From :meth:`sampler`.
            video_id (str): Name of the video.

        Yields:
            dict: ``inputs`` (C, T, H, W) and ``data_samples``.
        """
        frames = (self._prepare(image) for image in self.load_clip.shrink(sampler))
        clip_len, stride = self.dataset.clip_len, self.dataset.window_stride
        for offset, images in sliding_windows(frames, clip_len, stride):
            yield self._pack(offset, images, sampler.sample_fps, video_id)

    def estimate(self, stream: Stream) -> int | None:
        """Guesses the number of windows from the header of a file.

        Args:
            stream (VideoStream | ArrayStream): The video.

        Returns:
            int, optional: None if the header does not tell the duration.
        """
        dataset = self.dataset
        if dataset.num_frames_per_video is not None:
            return 1
        if not stream.announced_s:
            return None
        count = num_sampled_frames(dataset.sample_fps, duration_s=stream.announced_s)
        return len(window_offsets(count, dataset.clip_len, dataset.window_stride))

    def _prepare(self, image: np.ndarray) -> np.ndarray:
        """One frame through the steps that see single frames."""
        results = self._describe([image])
        for step in self.frame_steps:
            results = step(results)
        return results['imgs'][0]

    def _pack(
        self, offset: int, images: list[np.ndarray], sample_fps: float, video_id: str
    ) -> dict:
        """One window through all other steps, filled up as LoadClip does."""
        if len({image.shape for image in images}) > 1:
            raise UserError(
                f'{video_id}: the picture changes its size from sampled frame {offset} '
                f'on, and the test pipeline keeps its shape. Remedy: a config with '
                'Resize(keep_ratio=False) or CenterCrop'
            )
        padding = np.full_like(images[0], self.load_clip.pad_value)
        missing = self.dataset.clip_len - len(images)
        results = dict(
            self._describe(images + [padding] * missing),
            video_id=video_id,
            source=video_id,
            source_type='video',
            sample_fps=sample_fps,
            window_offset=offset,
            clip_len=self.dataset.clip_len,
            gt_segments=np.zeros((0, 2), dtype=np.float32),
            gt_labels=np.zeros(0, dtype=np.int64),
        )
        for step in self.window_steps:
            results = step(results)
        return results

    @staticmethod
    def _describe(images: Iterable[np.ndarray]) -> dict:
        images = list(images)
        shape = images[0].shape[:2]
        return dict(
            imgs=images,
            img_shape=shape,
            original_shape=shape,
            modality='RGB',
            num_clips=1,
        )
