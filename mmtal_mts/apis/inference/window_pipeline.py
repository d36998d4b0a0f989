"""The test pipeline of a config, applied to frames as they are decoded."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Union

import numpy as np
from mmengine.config import Config

from mmtal_mts.datasets import TALDataset
from mmtal_mts.datasets.streaming import FrameSampler, sliding_windows
from mmtal_mts.datasets.video_stream import ArrayStream, VideoStream
from mmtal_mts.datasets.windows import window_offsets
from mmtal_mts.structures.timebase import num_sampled_frames
from mmtal_mts.utils import UserError

from .frame_preparation import FramePreparation, describe

Stream = Union[VideoStream, ArrayStream]


class WindowPipeline:
    """Makes the windows of a video exactly as the test data set of a config does.

    Steps that see single frames run once per frame, before frames are held for
    overlapping windows, so that only small frames wait in memory. All other steps
    run on whole windows.

    Args:
        dataset (TALDataset): Test data set; its annotation is not needed.
        frame_size (int, optional): Side in pixels to which frames are scaled first,
            for configs whose data are arrays of frames or flow of that size.
        flow_method (str): For configs that use optical flow, see
            :func:`mmtal_mts.datasets.extraction.build_flow`.

    Raises:
        UserError: If the config needs more than a video.
    """

    def __init__(
        self,
        dataset: TALDataset,
        frame_size: int | None = None,
        flow_method: str = 'tvl1',
    ) -> None:
        if dataset.source_type != 'video' and frame_size is None:
            raise UserError(
                'the config reads frames or flow that were scaled and stored '
                'beforehand. Remedy: give their size in pixels, e.g. --frame-size 112'
            )
        self.dataset = dataset
        self.prepare = FramePreparation(
            dataset.pipeline.transforms, dataset.modality, frame_size, flow_method
        )

    @classmethod
    def from_config(
        cls, cfg: Config, frame_size: int | None = None, flow_method: str = 'tvl1'
    ) -> WindowPipeline:
        """Takes the test data set of a config.

        Args:
            cfg (Config): With ``test_dataloader``.
            frame_size (int, optional): See :class:`WindowPipeline`.
            flow_method (str): See :class:`WindowPipeline`.

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
        kind = settings.pop('type', 'TALDataset')
        if kind == 'TALFeatureDataset':
            raise UserError(
                f'{cfg.filename} reads features, not videos. Remedy: make those of the '
                'videos by tools/misc/extract_features.py, then use tools/test.py'
            )
        if kind not in ('TALDataset', TALDataset):
            raise UserError(f'test_dataloader of {cfg.filename} is not a TALDataset')
        # A video of one's own has no scores of a classifier: its actions are found
        # without their class.
        settings['pipeline'] = [
            step
            for step in settings.get('pipeline', [])
            if step['type'] != 'LoadVideoScores'
        ]
        dataset = TALDataset(**{**settings, 'lazy_init': True, 'test_mode': True})
        return cls(dataset, frame_size, flow_method)

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
        frames = self.prepare(sampler)
        clip_len, stride = self.dataset.clip_len, self.dataset.window_stride
        for offset, images in sliding_windows(frames, clip_len, stride):
            yield self.pack(offset, images, sampler.sample_fps, video_id)

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

    def pack(
        self, offset: int, images: list[np.ndarray], sample_fps: float, video_id: str
    ) -> dict:
        """One window through all other steps, filled up as LoadClip does.

        Args:
            offset (int): First sampled frame.
            images (list[np.ndarray]): Prepared frames, at most ``clip_len``.
            sample_fps (float): Sampled frames per second.
            video_id (str): Name of the video.

        Returns:
            dict: ``inputs`` (C, T, H, W) and ``data_samples``.

        Raises:
            UserError: If the frames differ in size.
        """
        if len({image.shape for image in images}) > 1:
            raise UserError(
                f'{video_id}: the picture changes its size from sampled frame {offset} '
                f'on, and the test pipeline keeps its shape. Remedy: a config with '
                'Resize(keep_ratio=False) or CenterCrop'
            )
        padding = self.prepare.padding(images[0])
        missing = self.dataset.clip_len - len(images)
        results = dict(
            describe(images + [padding] * missing),
            video_id=video_id,
            source=video_id,
            source_type='video',
            sample_fps=sample_fps,
            window_offset=offset,
            clip_len=self.dataset.clip_len,
            gt_segments=np.zeros((0, 2), dtype=np.float32),
            gt_labels=np.zeros(0, dtype=np.int64),
        )
        for step in self.prepare.rest:
            results = step(results)
        return results
