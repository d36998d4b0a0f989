"""Windows of untrimmed videos as a data set."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from mmaction.registry import DATASETS, TRANSFORMS
from mmengine.dataset import BaseDataset
from mmengine.logging import print_log

from ..structures import Segments
from ..structures.annotations import (
    AnnotationError,
    VideoAnnotation,
    load_annotations,
    summarize_problems,
)
from ..structures.timebase import frames_to_seconds, length_tolerance_s
from ..utils.processes import randomness_from
from .sources import SourceFinder, describe_video, read_record
from .video import VideoReadError
from .windows import cut_video

# Names of the images of a frame folder by modality.
_FRAME_TEMPLATES = {'RGB': 'img_{:05}.jpg', 'Flow': '{}_{:05}.jpg'}
_NO_EPOCH = -1


@DATASETS.register_module()
class TALDataset(BaseDataset):
    """Temporal action localization data set; an item is one window of a video.

    In training, windows are those that hold at least one action (see
    :func:`~mmtal_mts.datasets.windows.training_windows`); with ``test_mode`` all
    windows of all videos. The keys of an item before the pipeline are listed in
    ``docs/architecture.md``.

    Args:
        ann_file: Annotation file in the native format.
        data_root: Root of ``ann_file`` and ``data_prefix``.
        data_prefix: ``video``: folder of the sources.
        classes: Class names in label order. By default ``metainfo['classes']``, the
            file's "classes", or its sorted labels.
        class_agnostic: Action or not: all labels become 0, the one class is 'action'.
            What the annotation calls classes is metainfo ``video_classes``.
        subsets: Subsets to use. All by default.
        source_type: 'video', 'frames' (a folder of images per video) or 'npy' (an
            array (T, H, W, C) uint8 per video, already sampled at ``sample_fps``).
        file_tmpl: Name of a source, with ``{video_id}``. The annotation's "file" wins;
            files with another known extension are found.
        modality: 'RGB' or 'Flow' (frames and arrays only).
        filename_tmpl: Name of an image in a frame folder, by default 'img_{:05}.jpg'
            or '{}_{:05}.jpg' (x or y, number).
        start_index: Number of the first image in a frame folder.
        source_fps: Frame rate of all sources. By default that of each video file; for
            extracted frames that of their ``extraction.json``, without it the
            annotation's "fps", or the number of images over the duration.
        sample_fps: Rate at which videos are sampled.
        num_frames_per_video: Instead of a common rate, sample this many frames from
            every video, which gives one window per video.
        clip_len: Length of a window in sampled frames.
        window_stride: Distance of windows in sampled frames. By default half a window
            in testing and 30/256 of it in training.
        keep_ioa: A training window holds at least this fraction of an action.
        min_ioa: Fraction of an action from which on it is annotated.
        one_based_window: Reproduce AFSD's training windows, see
            :func:`~mmtal_mts.datasets.windows.training_windows`.
        on_invalid: 'error', 'clamp' or 'drop', see
            :func:`~mmtal_mts.structures.annotations.load_annotations`.
        on_bad_video: What to do with a missing or unreadable video. 'error' stops.
            'skip' reports it, leaves out a missing one, and for an unreadable one takes
            another item in training, a constant window (``broken=True``) in testing.
        metainfo: See :class:`mmengine.dataset.BaseDataset`.
        pipeline: See :class:`mmengine.dataset.BaseDataset`.
        test_mode: See :class:`mmengine.dataset.BaseDataset`.
        **kwargs: ``filter_cfg``, which knows ``exclude_videos`` (list of video ids),
            ``indices``, ``serialize_data``, ``lazy_init`` and ``max_refetch`` of
            :class:`mmengine.dataset.BaseDataset`.

    Raises:
        AnnotationError: If the annotation is invalid or nothing is left of it.
        FileNotFoundError: If sources are missing, with 'error'.
        VideoReadError: If a source cannot be read, with 'error'.
        ValueError: If an argument makes no sense.
    """

    source_types = ('video', 'frames', 'npy')

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
        kind, data_prefix = type(self).__name__, dict(data_prefix or {'video': ''})
        count = num_frames_per_video
        for name, value, known in (
            ('source_type', source_type, self.source_types),
            ('modality', modality, tuple(_FRAME_TEMPLATES)),
            ('on_bad_video', on_bad_video, ('error', 'skip')),
        ):
            _check(value in known, f'{name}={value!r} of {kind}: use one of {known}')
        _check(
            'video' in data_prefix,
            f"data_prefix needs 'video', the folder of the sources: {data_prefix}",
        )
        _check(
            (modality, source_type) != ('Flow', 'video'),
            "modality='Flow' needs source_type 'frames' or 'npy': optical flow is "
            'computed beforehand',
        )
        _check(clip_len > 0, f'clip_len must be positive, got {clip_len}')
        _check(sample_fps > 0, f'sample_fps must be positive, got {sample_fps}')
        _check(
            count is None or 1 <= count <= clip_len,
            f'num_frames_per_video={count} must be in 1..clip_len ({clip_len}): every '
            'video becomes one window',
        )
        if window_stride is None:
            window_stride = clip_len // 2 if test_mode else round(clip_len * 30 / 256)
        self.window_stride = max(window_stride, 1)
        self.class_agnostic, self.modality = class_agnostic, modality
        self.file_tmpl, self.subsets, self.on_invalid = file_tmpl, subsets, on_invalid
        streams = dict(source_type=source_type, modality=modality)
        self.sampling = dict(streams, source_fps=source_fps, num_frames=count)
        self.sampling['sample_fps'] = float(sample_fps)
        # What is the same in all items; the classes are added when they are known.
        self._common = dict(streams, clip_len=clip_len, on_bad_video=on_bad_video)
        self._common.update(
            filename_tmpl=filename_tmpl or _FRAME_TEMPLATES[modality],
            start_index=start_index if source_type == 'frames' else 0,
        )
        self._windows = dict(clip_len=clip_len, stride=self.window_stride)
        self._windows.update(keep_ioa=keep_ioa, min_ioa=min_ioa, test_mode=test_mode)
        self._windows['one_based_window'] = one_based_window
        self._reported: set[str] = set()
        # In shared memory once it is set, because workers live on from epoch to epoch.
        self._seed_and_epoch = torch.tensor([_NO_EPOCH, _NO_EPOCH])
        if classes is not None:
            metainfo = dict(metainfo or {}, classes=classes)
        # The parent finds only transforms of the scope that happens to be the default.
        steps = [TRANSFORMS.build(s) if isinstance(s, dict) else s for s in pipeline]
        kwargs.update(pipeline=steps, test_mode=test_mode)
        super().__init__(ann_file, metainfo, data_root, data_prefix, **kwargs)

    def load_data_list(self) -> list[dict]:
        """Lists the windows of all videos, with what is particular to each."""
        names = self._metainfo.get('video_classes', self._metainfo.get('classes'))
        rules = self.subsets, self.on_invalid
        annotations = load_annotations(self.ann_file, names, *rules)
        classes = dict(classes=annotations.classes)
        if self.class_agnostic:
            classes = dict(classes=('action',), video_classes=annotations.classes)
        self._metainfo.update(classes)
        self._common.update(classes)
        settings = dict(self.filter_cfg or {})
        excluded = settings.pop('exclude_videos', ())
        if settings:
            raise ValueError(f"filter_cfg knows 'exclude_videos', got {list(settings)}")
        videos = [v for v in annotations.videos.values() if v.video_id not in excluded]
        data_list: list[dict] = []
        num_actions = num_seen = 0
        for video, facts in self._describe_videos(videos):
            actions = video.actions
            if self.class_agnostic:
                actions = Segments(actions.segments, np.zeros_like(actions.labels))
            items, seen = cut_video(facts, actions, **self._windows)
            data_list += items
            num_actions += len(actions)
            num_seen += seen
        clip_len = self._common['clip_len']
        if not data_list:
            raise AnnotationError(
                f'{self.ann_file}: the data set is empty. Of {len(videos)} videos, the '
                f'usable ones hold {num_actions} actions, none of which fits into a '
                f'window of {clip_len} frames. Check subsets, filter_cfg and the paths '
                'of the videos; raise clip_len, or lower keep_ioa or sample_fps.'
            )
        if not self.test_mode and num_seen < num_actions:
            _warn(
                f'{self.ann_file}: {num_actions - num_seen} of {num_actions} actions '
                'are in no training window, most likely longer than clip_len '
                f'({clip_len} frames)'
            )
        return data_list

    def _describe_videos(
        self, videos: Sequence[VideoAnnotation]
    ) -> list[tuple[VideoAnnotation, dict[str, Any]]]:
        """The usable videos with their facts; raises or logs all problems at once."""
        kind, folder = self.sampling['source_type'], self.data_prefix['video']
        folders = self.data_prefix.values() if kind == 'features' else [folder]
        finders = [SourceFinder(path, kind, self.file_tmpl) for path in folders]
        record = read_record(folder) if kind in ('frames', 'npy') else None
        usable, errors, contradictions = [], [], []
        for video in videos:
            names, sources = (video.video_id, video.file), []
            try:
                for finder in finders:
                    sources.append(finder.find(*names))
                    if sources[-1] is None:
                        raise FileNotFoundError(f'{finder.expected(*names)} is missing')
                facts = self._describe(video, sources, record)
            except (AnnotationError, FileNotFoundError, VideoReadError) as error:
                errors.append(error)
                continue
            usable.append((video, facts))
            count, fps = facts['num_sampled_frames'], facts['sample_fps']
            length_s = facts.get('covered_s', frames_to_seconds(count, fps))
            duration = facts['duration']
            if abs(length_s - duration) > length_tolerance_s(duration):
                contradictions.append(
                    f'{facts["source"]}: {count} frames at {fps:g} fps = '
                    f'{length_s:.2f} s, but "duration" is {duration:.2f} s'
                )
        if errors:
            message = (
                f'{len(errors)} of {len(videos)} videos of {self.ann_file} cannot be '
                f'used\n{summarize_problems([str(error) for error in errors])}\n'
                'Add "duration" in seconds where it is missing (only arrays tell their '
                'own length), check data_prefix=dict(video=...) and file_tmpl, replace '
                "damaged files, or set on_bad_video='skip' to leave videos out."
            )
            for error in errors:
                is_annotation = isinstance(error, AnnotationError)
                if is_annotation or self._common['on_bad_video'] == 'error':
                    raise type(error)(message)
            _warn(message)
        if contradictions:
            _warn(
                f'{len(contradictions)} lengths contradict {self.ann_file}\n'
                f'{summarize_problems(contradictions)}'
            )
        return usable

    def _describe(
        self, video: VideoAnnotation, sources: Sequence[str], record: Any
    ) -> dict[str, Any]:
        """The keys of a window that are the same in the whole video."""
        return describe_video(video, sources[0], record=record, **self.sampling)

    def set_epoch_seed(self, seed: int, epoch: int) -> None:
        """Makes the augmentation of an item depend on seed, epoch and item only.

        Neither the number of processes and workers matters then, nor whether a
        training was interrupted.

        Args:
            seed: Seed of the training, not negative.
            epoch: From 0.
        """
        # Not in the constructor: a copy of a data set would not be shared.
        self._seed_and_epoch.share_memory_()
        self._seed_and_epoch.copy_(torch.tensor([seed, epoch]))

    def __getitem__(self, idx: int) -> dict:
        """Returns one window after the pipeline: ``inputs`` and ``data_samples``."""
        seed, epoch = self._seed_and_epoch.tolist()
        if seed == _NO_EPOCH:  # as the generators stand
            return super().__getitem__(idx)
        with randomness_from((seed, epoch, idx)):
            return super().__getitem__(idx)

    def get_data_info(self, idx: int) -> dict:
        """Returns one window before the pipeline, see ``docs/architecture.md``."""
        return {**super().get_data_info(idx), **self._common}

    def get_cat_ids(self, idx: int) -> list[int]:
        """Returns the labels in a window once each, for ClassBalancedDataset."""
        return np.unique(super().get_data_info(idx)['gt_labels']).tolist()

    def prepare_data(self, idx: int) -> dict | None:
        """Runs the pipeline on one window.

        Args:
            idx: Index of the window.

        Returns:
            Output of the pipeline; None in training if the video is unreadable and to
            be skipped, upon which another window is drawn.
        """
        info = self.get_data_info(idx)
        try:
            return self.pipeline(info)
        except VideoReadError as error:
            if info['on_bad_video'] == 'error':
                raise
            if info['source'] not in self._reported:
                _warn(f'Skipped: {error}')
            self._reported.add(info['source'])
        if not self.test_mode:
            return None
        return self.pipeline(dict(self.get_data_info(idx), broken=True))


def _check(fits: bool, message: str) -> None:
    if not fits:
        raise ValueError(message)


def _warn(message: str) -> None:
    print_log(message, logger='current', level=logging.WARNING)
