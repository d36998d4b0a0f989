"""Windows of untrimmed videos as a data set."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from mmaction.registry import DATASETS, TRANSFORMS
from mmengine.dataset import BaseDataset
from mmengine.logging import print_log

from mmtal_mts.structures.annotations import AnnotationError, load_annotations

from .extraction_record import read_record
from .item_randomness import ItemRandomness
from .sampling import (
    FRAME_TEMPLATES,
    SourceProblems,
    VideoSampling,
    check_on_bad_video,
    check_sampling,
)
from .sources import SourceFinder
from .transforms.video_readers import VideoReadError
from .window_cutter import WindowCutter


@DATASETS.register_module()
class TALDataset(BaseDataset):
    """Temporal action localization data set; an item is one window of a video.

    In training, windows are those that hold at least one action (see
    :func:`~mmtal_mts.datasets.windows.training_windows`); with ``test_mode`` all
    windows of all videos. The keys of an item before the pipeline are listed in
    ``docs/architecture.md``.

    Args:
        ann_file (str): Annotation file in the native format.
        data_root (str): Root of ``ann_file`` and ``data_prefix``.
        data_prefix (dict): ``video``: folder of the sources.
        classes (Sequence[str], optional): Class names in label order. By default
            ``metainfo['classes']``, the file's "classes", or its sorted labels.
        class_agnostic (bool): Action or not: all labels become 0, the one class is
            'action'. What the annotation calls classes is metainfo ``video_classes``.
        subsets (str | Sequence[str], optional): Subsets to use. All by default.
        source_type (str): 'video', 'frames' (a folder of images per video) or 'npy'
            (an array (T, H, W, C) uint8 per video, already sampled at ``sample_fps``).
        file_tmpl (str, optional): Name of a source, with ``{video_id}``. The
            annotation's "file" wins; files with another known extension are found.
        modality (str): 'RGB' or 'Flow' (frames and arrays only).
        filename_tmpl (str, optional): Name of an image in a frame folder, by default
            'img_{:05}.jpg' or '{}_{:05}.jpg' (x or y, number).
        start_index (int): Number of the first image in a frame folder.
        source_fps (float, optional): Frame rate of all sources. By default that of
            each video file; for extracted frames that of their ``extraction.json``,
            without it the annotation's "fps", or the number of images over the
            duration.
        sample_fps (float): Rate at which videos are sampled.
        num_frames_per_video (int, optional): Instead of a common rate, sample this
            many frames from every video, which gives one window per video.
        clip_len (int): Length of a window in sampled frames.
        window_stride (int, optional): Distance of windows in sampled frames. By
            default half a window in testing and 30/256 of it in training.
        keep_ioa (float): A training window holds at least this fraction of an action.
        min_ioa (float): Fraction of an action from which on it is annotated.
        one_based_window (bool): Reproduce AFSD's training windows, see
            :func:`~mmtal_mts.datasets.windows.training_windows`.
        on_invalid (str): 'error', 'clamp' or 'drop', see
            :func:`~mmtal_mts.structures.annotations.load_annotations`.
        on_bad_video (str): What to do with a missing or unreadable video. 'error'
            stops. 'skip' reports it and leaves out a missing one, replaces the item of
            an unreadable one in training, and gives a constant window with metainfo
            ``broken=True`` in testing.
        metainfo, filter_cfg, indices, serialize_data, pipeline, test_mode, lazy_init,
            max_refetch: See :class:`mmengine.dataset.BaseDataset`. ``filter_cfg`` knows
            ``exclude_videos`` (list of video ids).

    Raises:
        AnnotationError: If the annotation is invalid or nothing is left of it.
        FileNotFoundError: If sources are missing, with 'error'.
        VideoReadError: If a source cannot be read, with 'error'.
        ValueError: If an argument makes no sense.
    """

    source_types = ('video', 'frames', 'npy')
    """What ``source_type`` may be."""

    def __init__(
        self,
        ann_file: str,
        data_root: str = '',
        data_prefix: dict[str, str] | None = None,
        classes: Sequence[str] | None = None,
        class_agnostic: bool = False,
        subsets: str | Sequence[str] | None = None,
        source_type: str = 'video',
        file_tmpl: str | None = None,
        modality: str = 'RGB',
        filename_tmpl: str | None = None,
        start_index: int = 1,
        source_fps: float | None = None,
        sample_fps: float = 10,
        num_frames_per_video: int | None = None,
        clip_len: int = 256,
        window_stride: int | None = None,
        keep_ioa: float = 1.0,
        min_ioa: float = 0.5,
        one_based_window: bool = False,
        on_invalid: str = 'error',
        on_bad_video: str = 'error',
        metainfo: dict | None = None,
        pipeline: Sequence[dict | Callable] = (),
        test_mode: bool = False,
        **kwargs: Any,
    ) -> None:
        if source_type not in self.source_types:
            raise ValueError(
                f'source_type of {type(self).__name__} must be one of '
                f'{self.source_types}, got {source_type!r}'
            )
        data_prefix = dict(data_prefix or {'video': ''})
        if 'video' not in data_prefix:
            raise ValueError(
                "data_prefix needs the key 'video' (folder of the sources), got "
                f'{data_prefix}'
            )
        check_sampling(
            source_type, modality, clip_len, sample_fps, num_frames_per_video
        )
        check_on_bad_video(on_bad_video)
        self.subsets = subsets
        self.source_type = source_type
        self.file_tmpl = file_tmpl
        self.modality = modality
        self.filename_tmpl = filename_tmpl or FRAME_TEMPLATES[modality]
        self.start_index = start_index if source_type == 'frames' else 0
        self.source_fps = source_fps
        self.sample_fps = float(sample_fps)
        self.num_frames_per_video = num_frames_per_video
        self.clip_len = clip_len
        if window_stride is None:
            window_stride = clip_len // 2 if test_mode else round(clip_len * 30 / 256)
        self.window_stride = max(window_stride, 1)
        self.keep_ioa = keep_ioa
        self.min_ioa = min_ioa
        self.one_based_window = one_based_window
        self.on_invalid = on_invalid
        self.on_bad_video = on_bad_video
        self.class_agnostic = class_agnostic
        self._reported: set = set()
        self._randomness = ItemRandomness()
        metainfo = dict(metainfo or {})
        if classes is not None:
            metainfo['classes'] = classes
        # Built here, because the parent finds only the transforms of the scope that
        # happens to be the default one.
        pipeline = [
            TRANSFORMS.build(step) if isinstance(step, dict) else step
            for step in pipeline
        ]
        super().__init__(
            ann_file=ann_file,
            data_root=data_root,
            data_prefix=data_prefix,
            metainfo=metainfo,
            pipeline=pipeline,
            test_mode=test_mode,
            **kwargs,
        )

    # Loading

    def load_data_list(self) -> list[dict]:
        """Lists the windows of all videos.

        Returns:
            list[dict]: What is particular to each window.
        """
        classes = self._metainfo.get('video_classes', self._metainfo.get('classes'))
        annotations = load_annotations(
            self.ann_file, classes, self.subsets, self.on_invalid
        )
        self._metainfo['classes'] = annotations.classes
        if self.class_agnostic:
            self._metainfo['video_classes'] = annotations.classes
            self._metainfo['classes'] = ('action',)
        excluded = self._excluded_videos()
        videos = [
            video
            for video in annotations.videos.values()
            if video.video_id not in excluded
        ]
        folder = self.data_prefix['video']
        finder, sample = self._finder(), self._sampling()
        problems = SourceProblems(self.ann_file, self.on_bad_video)
        cut = WindowCutter(
            self.clip_len,
            self.window_stride,
            self.keep_ioa,
            self.min_ioa,
            self.one_based_window,
            self.test_mode,
            self.class_agnostic,
        )
        data_list: list[dict] = []
        for video in videos:
            facts = problems.describe(video, finder, sample)
            if facts is not None:
                data_list += cut(video, facts)
        problems.report(folder, len(videos))
        if not data_list:
            raise AnnotationError(
                f'{self.ann_file}: the data set is empty ({len(videos)} videos, '
                f'{cut.num_segments} actions, no window): '
                f'{cut.why_empty(len(videos), self.sample_fps)}.'
            )
        if not self.test_mode and cut.num_seen < cut.num_segments:
            print_log(
                f'{self.ann_file}: {cut.num_segments - cut.num_seen} of '
                f'{cut.num_segments} actions are in no training window, most likely '
                f'longer than clip_len ({self.clip_len} frames)',
                logger='current',
                level=logging.WARNING,
            )
        return data_list

    def _finder(self) -> SourceFinder:
        """What finds the source of a video."""
        folder = self.data_prefix['video']
        return SourceFinder(folder, self.source_type, self.file_tmpl)

    def _sampling(self) -> VideoSampling:
        """What describes a video and its source."""
        folder = self.data_prefix['video']
        return VideoSampling(
            self.source_type,
            self.modality,
            self.sample_fps,
            self.source_fps,
            self.num_frames_per_video,
            None if self.source_type == 'video' else read_record(folder),
        )

    def _excluded_videos(self) -> set:
        unknown = set(self.filter_cfg or {}) - {'exclude_videos'}
        if unknown:
            raise ValueError(
                f"filter_cfg knows 'exclude_videos', got {sorted(unknown)}"
            )
        return set((self.filter_cfg or {}).get('exclude_videos', ()))

    # Items

    def set_epoch_seed(self, seed: int, epoch: int) -> None:
        """Makes the augmentation of an item depend on seed, epoch and item only.

        Args:
            seed (int): Seed of the training.
            epoch (int): From 0.
        """
        self._randomness.set(seed, epoch)

    def __getitem__(self, idx: int) -> dict:
        """Returns one window after the pipeline.

        Args:
            idx (int): Index of the window.

        Returns:
            dict: ``inputs`` and ``data_samples``.
        """
        with self._randomness.of(idx):
            return super().__getitem__(idx)

    def get_data_info(self, idx: int) -> dict:
        """Returns one window, before the pipeline.

        Args:
            idx (int): Index of the window.

        Returns:
            dict: See ``docs/architecture.md``.
        """
        info = super().get_data_info(idx)
        info.update(
            source_type=self.source_type,
            modality=self.modality,
            filename_tmpl=self.filename_tmpl,
            start_index=self.start_index,
            clip_len=self.clip_len,
            classes=self._metainfo['classes'],
            on_bad_video=self.on_bad_video,
        )
        if self.class_agnostic:
            info['video_classes'] = self._metainfo['video_classes']
        return info

    def get_cat_ids(self, idx: int) -> list[int]:
        """Returns the classes in a window, for ClassBalancedDataset.

        Args:
            idx (int): Index of the window.

        Returns:
            list[int]: Labels without repetition.
        """
        return np.unique(super().get_data_info(idx)['gt_labels']).tolist()

    def prepare_data(self, idx: int) -> dict | None:
        """Runs the pipeline on one window.

        Args:
            idx (int): Index of the window.

        Returns:
            dict, optional: Output of the pipeline; None in training if the video is
            unreadable and to be skipped, upon which another window is drawn.
        """
        info = self.get_data_info(idx)
        try:
            return self.pipeline(info)
        except VideoReadError as err:
            if self.on_bad_video == 'error':
                raise
            if info['source'] not in self._reported:
                self._reported.add(info['source'])
                print_log(f'Skipped: {err}', logger='current', level=logging.WARNING)
        if not self.test_mode:
            return None
        info = self.get_data_info(idx)
        info['broken'] = True
        return self.pipeline(info)
