"""The metric of a runner: windows of a video, soft-NMS, mAP."""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from functools import partial
from itertools import groupby
from operator import itemgetter
from typing import Any

import numpy as np
from mmaction.registry import METRICS
from mmengine.evaluator import BaseMetric
from mmengine.logging import print_log
from rich.console import Console

from ...structures import Segments
from ..functional.detections import dump_detections, dump_windows, warn_of
from ..functional.mean_ap import print_mean_ap, threshold_rows
from ..functional.post_processing import (
    check_test_cfg,
    merge_windows,
    predicted_segments,
)
from ..protocols import EvaluationData, load_ground_truth
from .raw_outputs import sort_windows, window_facts


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
        super().__init__(collect_device, prefix, collect_dir)
        self.ann_file = ann_file
        self.tiou_thresholds = tuple(tiou_thresholds)
        self.average_over = average_over
        threshold_rows(self.tiou_thresholds, average_over)  # checks them
        self.classwise = classwise
        self.dump_path = dump_path
        self.windows_path = windows_path
        self.class_agnostic = class_agnostic
        rules = dict(on_invalid=on_invalid, protocol=protocol)
        rules['class_agnostic'] = class_agnostic
        self._load = partial(load_ground_truth, ann_file, subset=subset, **rules)
        self.classes, self.ground_truth = self._load()

    @BaseMetric.dataset_meta.setter
    def dataset_meta(self, dataset_meta: dict | None) -> None:
        """Takes over the class order, and checks the ground truth against it."""
        self._dataset_meta = dataset_meta
        meta = dataset_meta or {}
        classes = tuple(meta.get('video_classes') or meta.get('classes') or ())
        if classes in ((), self.classes) or self.class_agnostic:
            return
        actions = [video.actions for video in self.ground_truth.values()]
        used = {self.classes[label] for label in Segments.concatenate(actions).labels}
        strange = sorted(used - set(classes))
        if strange:
            raise ValueError(
                f'{self.ann_file}: the data set does not know label(s) {strange}; its '
                f'classes are {list(classes)}. Give both the same class list'
            )
        self.classes, self.ground_truth = self._load(classes)

    def process(self, data_batch: Any, data_samples: Sequence[Any]) -> None:
        """Keeps what the evaluation needs of one batch of windows.

        Args:
            data_batch: Not used.
            data_samples: Windows with their predictions, as data samples or their
                dictionaries.

        Raises:
            ValueError: A sample lacks something or holds unusable values.
        """
        meta, count = self._dataset_meta or {}, len(self.classes)
        needs_classes = meta.get('video_classes') and not self.class_agnostic
        for sample in data_samples:
            found = predicted_segments(sample)
            test_cfg = sample.get('test_cfg')
            kept = dict(window_facts(sample), detections=found, test_cfg=test_cfg)
            place = f'video {kept["video_id"]}'
            if test_cfg is None and not kept['broken']:
                raise ValueError(
                    f'{place}: the predictions carry no test_cfg; a model puts its own '
                    'into the metainfo of each sample that it predicts, as TALMTS does'
                )
            if not self.results and test_cfg is not None:
                # Unusable settings stop a run at its start, not at its end.
                check_test_cfg(test_cfg)
            if needs_classes and kept['video_scores'] is None:
                raise ValueError(
                    f'{place}: detections of a class_agnostic data set have no class; '
                    'put LoadVideoScores into the test pipeline, or evaluate with '
                    'class_agnostic=True'
                )
            if ((found.labels < 0) | (found.labels >= count)).any():
                raise ValueError(
                    f'{place}: predicted labels {found.labels.min()}..'
                    f'{found.labels.max()}, but there are {count} classes; '
                    f'num_classes of the model does not fit {self.ann_file}'
                )
            self.results.append(kept)

    def compute_metrics(self, results: list[dict]) -> dict[str, float]:
        """Evaluates all windows of all processes.

        Args:
            results: What :meth:`process` kept.

        Returns:
            Values by name, fractions of 1.
        """
        windows = sort_windows(results)
        found, durations = {}, {}
        for video_id, group in groupby(windows, itemgetter('video_id')):
            own = list(group)
            found[video_id] = Segments.concatenate(one['detections'] for one in own)
            durations[video_id] = own[0]['duration']
            if durations[video_id] is None and video_id in self.ground_truth:
                durations[video_id] = self.ground_truth[video_id].duration
        broken = sorted({one['video_id'] for one in windows if one['broken']})
        missing = sorted(set(self.ground_truth) - set(found))
        text = 'video(s) could not be read; evaluated without (all of) their detections'
        warn_of(broken, text, 10)
        text = 'video(s) of the ground truth got no prediction at all, their segments '
        warn_of(missing, f'{text}count as missed', 10)
        if self.windows_path is not None:
            dump_windows(self.windows_path, found, durations, self.classes)
            print_log(f'Windows are written to {self.windows_path}', logger='current')
        # All windows come from one model.
        settings = (one['test_cfg'] for one in results if one['test_cfg'] is not None)
        test_cfg = next(settings, {})
        detections = {
            name: merge_windows([windows], durations[name], test_cfg)
            for name, windows in found.items()
        }
        if self.dump_path is not None:
            dump_detections(self.dump_path, detections, self.classes)
            print_log(f'Detections are written to {self.dump_path}', logger='current')
        truth, thresholds = self.ground_truth, self.tiou_thresholds
        data = EvaluationData(self.classes, truth, detections, thresholds)
        result = data.evaluate()
        # Wide enough for ten thresholds and long class names.
        console = Console(file=io.StringIO(), width=160, color_system=None)
        classes = self.classes if self.classwise else ()
        print_mean_ap(console, result, self.average_over, classes)
        report = f'{os.path.basename(self.ann_file)}\n{console.file.getvalue()}'
        print_log(report.rstrip(), logger='current')
        values = zip(self.tiou_thresholds, result.mean_ap.tolist(), strict=True)
        metrics = {f'mAP@{threshold:.2f}': value for threshold, value in values}
        metrics['mAP'] = result.average(self.average_over)
        if self.classwise:
            rows = threshold_rows(result.tiou_thresholds, self.average_over)
            values = zip(self.classes, result.ap[rows].mean(axis=0), strict=True)
            metrics |= {f'AP/{name}': float(x) for name, x in values if not np.isnan(x)}
        return metrics
