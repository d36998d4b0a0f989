"""Mean average precision of temporal action localization, for a runner."""

from __future__ import annotations

import io
import logging
import os
from collections.abc import Sequence
from typing import Any

import numpy as np
from mmaction.registry import METRICS
from mmengine.evaluator import BaseMetric
from mmengine.logging import print_log
from rich.console import Console

from ..functional.detections import dump_detections, dump_windows, some_names
from ..functional.mean_ap import (
    mean_ap_table,
    mean_average_precision,
    threshold_rows,
)
from ..functional.post_processing import (
    VideoWindows,
    check_test_cfg,
    merge_videos,
    predicted_segments,
)
from ..protocols import load_ground_truth


@METRICS.register_module()
class TALMetric(BaseMetric):
    """Merges the windows of each video, runs soft-NMS, and computes the mAP.

    Every data sample is one window: ``video_id``, ``window_offset``, ``duration``,
    ``test_cfg`` (that of the model, see :func:`.check_test_cfg`) and
    ``pred_instances`` with ``segments`` (S, 2) in seconds of the video, ``scores``
    (S,) and ``labels`` (S,). A sample with ``broken=True``, one whose video could not
    be read, is reported and contributes no detection.

    The result does not depend on the number of processes: windows are ordered by
    video and offset, and a window that a distributed sampler repeats counts once.
    Values are fractions of 1: ``mAP@0.50`` for each threshold, ``mAP`` for their
    average, and with ``classwise`` one ``AP/CLASS`` each.

    Args:
        ann_file: Native annotation file with the ground truth.
        subset: Subset(s) to evaluate. None: all.
        tiou_thresholds: Thresholds in (0, 1].
        average_over: Those whose average is ``mAP``. None: all.
        classwise: Whether to report the AP of each class, too, averaged over the
            same thresholds as ``mAP``.
        dump_path: Write the detections to this JSON file, in the format of the
            ActivityNet challenge.
        windows_path: Write the detections of all windows to this NPZ file, for
            ``tools/analysis_tools/sweep_nms.py``.
        on_invalid: What to do about invalid ground-truth segments: 'error', 'clamp',
            'drop' or 'keep'. None: as the protocol does, and 'error' without one.
        class_agnostic: Evaluate action or not: the classes of the ground truth do not
            count. Without it, predictions of a class-agnostic data set need the
            classes of ``LoadVideoScores``.
        protocol: Evaluate the videos of published numbers, see :data:`.PROTOCOLS`.
            The counts are logged, with a warning if they differ.
        collect_device: 'cpu' or 'gpu', for gathering from the processes.
        prefix: Put before the names of the values.
        collect_dir: Folder for gathering on the CPU.

    Raises:
        FileNotFoundError: There is no annotation file.
        ValueError: The annotation, a setting, or (later) a prediction is invalid.
    """

    # Not None, which mmengine takes for a forgotten prefix; and no prefix.
    default_prefix: str | None = ''

    def __init__(
        self,
        ann_file: str,
        subset: str | Sequence[str] | None = None,
        tiou_thresholds: Sequence[float] = (0.3, 0.4, 0.5, 0.6, 0.7),
        average_over: Sequence[float] | None = None,
        classwise: bool = False,
        dump_path: str | None = None,
        windows_path: str | None = None,
        on_invalid: str | None = None,
        class_agnostic: bool = False,
        protocol: str | None = None,
        collect_device: str = 'cpu',
        prefix: str | None = None,
        collect_dir: str | None = None,
    ) -> None:
        super().__init__(
            collect_device=collect_device, prefix=prefix, collect_dir=collect_dir
        )
        self.ann_file = ann_file
        self.tiou_thresholds = tuple(tiou_thresholds)
        self.average_over = average_over
        threshold_rows(self.tiou_thresholds, average_over)  # checks them
        self.classwise = classwise
        self.dump_path = dump_path
        self.windows_path = windows_path
        self.class_agnostic = class_agnostic
        self._source = dict(
            ann_file=ann_file,
            subsets=subset,
            on_invalid=on_invalid,
            protocol=protocol,
            class_agnostic=class_agnostic,
        )
        self.classes, self.ground_truth = load_ground_truth(**self._source)

    @property
    def dataset_meta(self) -> dict | None:
        """Meta information of the data set, with its classes."""
        return self._dataset_meta

    @dataset_meta.setter
    def dataset_meta(self, dataset_meta: dict | None) -> None:
        """Takes over the class order, and checks the ground truth against it."""
        self._dataset_meta = dataset_meta
        if dataset_meta is None or dataset_meta.get('classes') is None:
            return
        classes = tuple(dataset_meta.get('video_classes') or dataset_meta['classes'])
        if classes == self.classes or self.class_agnostic:
            return
        used = {
            self.classes[label]
            for video in self.ground_truth.values()
            for label in video.actions.labels.tolist()
        }
        strange = sorted(used - set(classes))
        if strange:
            raise ValueError(
                f'{self.ann_file}: the ground truth has label(s) {strange} that the '
                f'data set does not know; its classes are {list(classes)}. Give both '
                'the same class list'
            )
        self.classes, self.ground_truth = load_ground_truth(
            classes=classes, **self._source
        )

    def process(self, data_batch: Any, data_samples: Sequence[Any]) -> None:
        """Keeps what the evaluation needs of one batch of windows.

        Args:
            data_batch: Not used.
            data_samples: Windows with their predictions, as data samples or their
                dictionaries.

        Raises:
            ValueError: A sample lacks something or holds unusable values.
        """
        needs_classes = (
            not self.class_agnostic
            and (self._dataset_meta or {}).get('video_classes') is not None
        )
        for sample in data_samples:
            found = predicted_segments(sample)
            video_id, test_cfg = sample.get('video_id'), sample.get('test_cfg')
            broken = bool(sample.get('broken', False))
            if test_cfg is None and not broken:
                raise ValueError(
                    f'video {video_id}: the predictions carry no test_cfg; a model '
                    'puts its model.test_cfg (score_thr, nms, ...) into the metainfo '
                    'of each sample that it predicts, as TALMTS does'
                )
            if not self.results and test_cfg is not None:
                # Unusable settings stop a run at its start, not at its end.
                check_test_cfg(test_cfg)
            if needs_classes and sample.get('video_scores') is None:
                raise ValueError(
                    f'video {video_id}: detections without a class, because the data '
                    'set is class_agnostic; put LoadVideoScores into the test '
                    'pipeline, or evaluate with class_agnostic=True'
                )
            count = len(self.classes)
            if ((found.labels < 0) | (found.labels >= count)).any():
                raise ValueError(
                    f'video {video_id}: predicted labels {found.labels.min()}..'
                    f'{found.labels.max()}, but there are {count} classes; '
                    f'num_classes of the model does not fit {self.ann_file}'
                )
            duration = sample.get('duration')
            kept = dict(
                video_id=str(video_id),
                window_offset=int(sample.get('window_offset') or 0),
                duration=None if duration is None else float(duration),
            )
            kept.update(broken=broken, detections=found, test_cfg=test_cfg)
            self.results.append(kept)

    def compute_metrics(self, results: list[dict]) -> dict[str, float]:
        """Evaluates all windows of all processes.

        Args:
            results: What :meth:`process` kept.

        Returns:
            Values by name, fractions of 1.
        """
        videos = self._videos(results)
        if self.windows_path is not None:
            dump_windows(self.windows_path, videos, self.classes)
            print_log(f'Windows are written to {self.windows_path}', logger='current')
        # All windows come from one model.
        settings = (one['test_cfg'] for one in results if one['test_cfg'] is not None)
        detections = merge_videos(videos, next(settings, {}))
        if self.dump_path is not None:
            dump_detections(self.dump_path, detections, self.classes)
            print_log(f'Detections are written to {self.dump_path}', logger='current')
        truth = {name: video.actions for name, video in self.ground_truth.items()}
        result = mean_average_precision(
            truth, detections, len(self.classes), self.tiou_thresholds
        )
        classes = self.classes if self.classwise else ()
        table, notes = mean_ap_table(result, self.average_over, classes)
        # Wide enough for ten thresholds and long class names.
        console = Console(file=io.StringIO(), width=160, color_system=None)
        console.print(table, *notes, sep='\n', highlight=False)
        report = f'{os.path.basename(self.ann_file)}\n{console.file.getvalue()}'
        print_log(report.rstrip(), logger='current')
        values = zip(self.tiou_thresholds, result.mean_ap.tolist(), strict=True)
        metrics = {f'mAP@{threshold:.2f}': value for threshold, value in values}
        metrics['mAP'] = result.average(self.average_over)
        if self.classwise:
            rows = threshold_rows(result.tiou_thresholds, self.average_over)
            values = result.ap[rows].mean(axis=0)
            for label in np.flatnonzero(~np.isnan(values)):
                metrics[f'AP/{self.classes[label]}'] = float(values[label])
        return metrics

    def _videos(self, results: list[dict]) -> dict[str, VideoWindows]:
        """Windows by video, in the order of the video ids and offsets."""
        unique = {(r['video_id'], r['window_offset']): r for r in reversed(results)}
        by_video: dict[str, list[dict]] = {}
        for key in sorted(unique):
            by_video.setdefault(key[0], []).append(unique[key])
        broken = sorted({r['video_id'] for r in unique.values() if r['broken']})
        _warn('could not be read; evaluated without (all of) their detections', broken)
        _warn(
            'of the ground truth got no prediction at all, their segments count as '
            'missed',
            sorted(set(self.ground_truth) - set(by_video)),
        )
        videos = {}
        for video_id, windows in by_video.items():
            duration = windows[0]['duration']
            if duration is None and video_id in self.ground_truth:
                duration = self.ground_truth[video_id].duration
            found = [w['detections'] for w in windows if not w['broken']]
            videos[video_id] = VideoWindows(duration, found)
        return videos


def _warn(message: str, videos: Sequence[str]) -> None:
    """Names the videos of a warning, if there is any."""
    if videos:
        text = f'{len(videos)} video(s) {message}: {some_names(videos, 10)}'
        print_log(text, logger='current', level=logging.WARNING)
