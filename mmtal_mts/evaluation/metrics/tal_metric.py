"""Mean average precision of temporal action localization, for a runner."""

from __future__ import annotations

import logging
import os
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import numpy as np
from mmaction.registry import METRICS
from mmengine.evaluator import BaseMetric
from mmengine.logging import print_log

from mmtal_mts.evaluation.functional.detections import Detections, dump_detections
from mmtal_mts.evaluation.functional.mean_ap import (
    MeanAPResult,
    mean_average_precision,
    threshold_rows,
)
from mmtal_mts.evaluation.functional.merge import WindowMerger
from mmtal_mts.evaluation.functional.windows import (
    VideoWindows,
    dump_windows,
    merge_videos,
)

from .ground_truth import GroundTruthSource
from .window_result import window_detections

_MAX_NAMED = 10
"""So many videos are named in a message; of the rest only the number is told."""


@METRICS.register_module()
class TALMetric(BaseMetric):
    """Merge the windows of each video, run soft-NMS, and compute the mAP.

    Every data sample is one window: ``video_id``, ``window_offset``, ``duration``
    and ``pred_instances`` with ``segments`` (S, 2) in seconds of the video,
    ``scores`` (S,) and ``labels`` (S,). A sample with ``broken=True``, one whose
    video could not be read, is reported and contributes no detection.

    The result does not depend on the number of processes: windows are ordered by
    video and offset, and a window that a distributed sampler repeats counts once.
    Values are fractions of 1: ``mAP@0.50`` for each threshold, ``mAP`` for their
    average, and with ``classwise`` one ``AP/CLASS`` each.

    Args:
        ann_file (str): Native annotation file with the ground truth.
        subset (str | Sequence[str], optional): Subset(s) to evaluate. None: all.
        tiou_thresholds (Sequence[float]): Thresholds in (0, 1].
        average_over (Sequence[float], optional): Those whose average is ``mAP``.
            None: all.
        nms (dict, optional): Settings of :func:`mmtal_mts.ops.soft_nms_1d`. None
            keeps every detection.
        clamp (bool): Cut detections to the video.
        max_per_video (int, optional): Keep the best so many of a video. None: all.
        classwise (bool): Also report the AP of each class, averaged over the same
            thresholds as ``mAP``.
        dump_path (str, optional): Write the detections to this JSON file, in the
            format of the ActivityNet challenge.
        windows_path (str, optional): Write the raw detections of all windows to this
            NPZ file, for ``tools/analysis_tools/sweep_nms.py``.
        on_invalid (str): What to do about invalid ground-truth segments: 'error',
            'clamp' or 'drop'.
        class_agnostic (bool): Evaluate action or not: the classes of the ground truth
            do not count. Without it, predictions of a class-agnostic data set need
            the classes of ``LoadVideoScores``.
        protocol (str, optional): Evaluate the videos of published numbers, see
            :data:`mmtal_mts.evaluation.protocols.PROTOCOLS`; ``on_invalid`` is the
            protocol's then. The counts are logged, with a warning if they differ.
        collect_device (str): 'cpu' or 'gpu', for gathering from the processes.
        prefix (str, optional): Put before the names of the values.
        collect_dir (str, optional): Folder for gathering on the CPU.

    Raises:
        FileNotFoundError: If there is no annotation file.
        ValueError: If the annotation, a setting, or (later) a prediction is invalid.
    """

    # Not None, which mmengine takes for a forgotten prefix; and no prefix.
    default_prefix: str | None = ''

    def __init__(
        self,
        ann_file: str,
        subset: str | Sequence[str] | None = None,
        tiou_thresholds: Sequence[float] = (0.3, 0.4, 0.5, 0.6, 0.7),
        average_over: Sequence[float] | None = None,
        nms: dict | None = None,
        clamp: bool = True,
        max_per_video: int | None = None,
        classwise: bool = False,
        dump_path: str | None = None,
        windows_path: str | None = None,
        on_invalid: str = 'error',
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
        subsets = (subset,) if isinstance(subset, str) else subset
        self.source = GroundTruthSource(
            ann_file, subsets, on_invalid, class_agnostic, protocol
        )
        self.tiou_thresholds = tuple(tiou_thresholds)
        self.average_over = average_over
        threshold_rows(self.tiou_thresholds, average_over)  # checks them
        self.merger = WindowMerger(nms, clamp, max_per_video)
        self.classwise = classwise
        self.dump_path = dump_path
        self.windows_path = windows_path
        self.class_agnostic = class_agnostic
        self.classes, self.ground_truth = self.source.load()

    @property
    def dataset_meta(self) -> dict | None:
        """Optional[dict]: Meta information of the data set, with its classes."""
        return self._dataset_meta

    @dataset_meta.setter
    def dataset_meta(self, dataset_meta: dict | None) -> None:
        """Take over the class order, and check the ground truth against it."""
        self._dataset_meta = dataset_meta
        if dataset_meta is None or dataset_meta.get('classes') is None:
            return
        classes = tuple(dataset_meta.get('video_classes') or dataset_meta['classes'])
        if classes == self.classes or self.class_agnostic:
            return
        used = {
            self.classes[label]
            for video in self.ground_truth.values()
            for label in video.labels.tolist()
        }
        strange = sorted(used - set(classes))
        if strange:
            raise ValueError(
                f'{self.ann_file}: the ground truth has label(s) {strange} that the '
                f'data set does not know; its classes are {list(classes)}. Give both '
                'the same class list'
            )
        self.classes, self.ground_truth = self.source.load(classes)

    def process(self, data_batch: Any, data_samples: Sequence[Any]) -> None:
        """Keep what the evaluation needs of one batch of windows.

        Args:
            data_batch (Any): Not used.
            data_samples (Sequence[dict | BaseDataElement]): Windows with their
                predictions.
        """
        needs_classes = (
            not self.class_agnostic
            and (self._dataset_meta or {}).get('video_classes') is not None
        )
        for sample in data_samples:
            if needs_classes and sample.get('video_scores') is None:
                raise ValueError(
                    f'video {sample.get("video_id")}: detections without a class, '
                    'because the data set is class_agnostic; put LoadVideoScores into '
                    'the test pipeline, or evaluate with class_agnostic=True'
                )
            self.results.append(window_detections(sample))

    def compute_metrics(self, results: list[dict]) -> dict[str, float]:
        """Evaluate all windows of all processes.

        Args:
            results (list[dict]): What :meth:`process` kept.

        Returns:
            OrderedDict[str, float]: Values by name, fractions of 1.
        """
        videos = self._videos(results)
        if self.windows_path is not None:
            dump_windows(self.windows_path, videos, self.classes)
            print_log(f'Windows are written to {self.windows_path}', logger='current')
        detections = merge_videos(videos, self.merger)
        if self.dump_path is not None:
            dump_detections(self.dump_path, detections, self.classes)
            print_log(f'Detections are written to {self.dump_path}', logger='current')
        result = mean_average_precision(
            self.ground_truth,
            detections,
            len(self.classes),
            self.tiou_thresholds,
        )
        print_log(self._report(result), logger='current')
        metrics = OrderedDict(
            (f'mAP@{threshold:.2f}', float(value))
            for threshold, value in zip(result.tiou_thresholds, result.mean_ap)
        )
        metrics['mAP'] = result.average(self.average_over)
        if self.classwise:
            rows = threshold_rows(result.tiou_thresholds, self.average_over)
            for name, ap in zip(self.classes, result.ap[rows].mean(axis=0)):
                if not np.isnan(ap):
                    metrics[f'AP/{name}'] = float(ap)
        return metrics

    def _videos(self, results: list[dict]) -> dict[str, VideoWindows]:
        """Windows by video, in the order of the video ids and offsets."""
        unique = {(r['video_id'], r['window_offset']): r for r in reversed(results)}
        by_video: dict[str, list[dict]] = {}
        for key in sorted(unique):
            by_video.setdefault(key[0], []).append(unique[key])
        self._warn(
            'could not be read; evaluated without (all of) their detections',
            sorted({r['video_id'] for r in unique.values() if r['broken']}),
        )
        self._warn(
            'of the ground truth got no prediction at all, their segments count as '
            'missed',
            sorted(set(self.ground_truth) - set(by_video)),
        )
        videos = {}
        for video_id, windows in by_video.items():
            duration = windows[0]['duration']
            if duration is None and video_id in self.ground_truth:
                duration = self.ground_truth[video_id].duration
            videos[video_id] = video = VideoWindows(duration)
            for window in windows:
                if not window['broken']:
                    video.offsets.append(window['window_offset'])
                    video.detections.append(window['detections'])
                    self._check_labels(video_id, window['detections'])
        return videos

    def _check_labels(self, video_id: str, found: Detections) -> None:
        """Refuse detections of classes that there are not."""
        num_classes = len(self.classes)
        if len(found) and not (
            0 <= found.labels.min() and found.labels.max() < num_classes
        ):
            raise ValueError(
                f'video {video_id}: predicted labels {found.labels.min()}..'
                f'{found.labels.max()}, but there are {num_classes} classes; '
                f'num_classes of the model does not fit {self.ann_file}'
            )

    @staticmethod
    def _warn(what: str, videos: Sequence[str]) -> None:
        """Warn about some videos, by name, if there is any."""
        if videos:
            names = ', '.join(videos[:_MAX_NAMED])
            if len(videos) > _MAX_NAMED:
                names += f' and {len(videos) - _MAX_NAMED} more'
            print_log(
                f'{len(videos)} video(s) {what}: {names}',
                logger='current',
                level=logging.WARNING,
            )

    def _report(self, result: MeanAPResult) -> str:
        """The table and the numbers it rests on, as text."""
        averaged = threshold_rows(result.tiou_thresholds, self.average_over)
        head = [f'{threshold:.2f}' for threshold in result.tiou_thresholds]
        rows = [('mAP', result.mean_ap)]
        if self.classwise:
            rows = list(zip(self.classes, result.ap.T)) + rows
        width = max([len('tIoU'), *(len(name) for name, _ in rows)])
        lines = [' '.join([f'{"tIoU":<{width}}', *(f'{h:>6}' for h in head), '   avg'])]
        for name, values in rows:
            cells = [*values, values[averaged].mean()]
            texts = ['     -' if np.isnan(v) else f'{100 * v:6.2f}' for v in cells]
            lines.append(' '.join([f'{name:<{width}}', *texts]))
        counts = result.counts
        lines.append(
            f'evaluated {counts["detections"]} detections on {counts["segments"]} '
            f'segments in {counts["videos"]} videos'
        )
        if counts['unknown_video'] or counts['unknown_class']:
            lines.append(
                f'not evaluated: {counts["unknown_video"]} detections in videos '
                f'without ground truth, {counts["unknown_class"]} of classes without '
                'a segment there'
            )
        if self.average_over is not None:
            over = ', '.join(head[row] for row in averaged)
            lines.append(f'avg is over tIoU {over}')
        return (
            f'Temporal action localization in %, {os.path.basename(self.ann_file)}\n'
            + '\n'.join(f'  {line}' for line in lines)
        )
