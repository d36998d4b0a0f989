"""Metrics for the evaluator of a runner: the mAP, and a file of raw outputs."""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from functools import partial
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmaction.registry import METRICS
from mmengine.evaluator import BaseMetric
from mmengine.logging import print_log
from rich.console import Console

from ..structures import Segments
from ..utils.checkpoint import load_checkpoint
from ..utils.io import atomic_write
from .functional.detections import dump_detections, dump_windows, warn_of
from .functional.mean_ap import print_mean_ap, threshold_rows
from .functional.post_processing import (
    check_test_cfg,
    merge_windows,
    predicted_segments,
)
from .protocols import EvaluationData, load_ground_truth


def _facts(sample: Any) -> dict[str, Any]:
    """What both metrics keep of the data sample of a window."""
    names = ('window_offset', 'sample_fps', 'duration', 'broken', 'video_scores')
    facts = {name: sample.get(name) for name in names}
    return dict(facts, video_id=str(sample.get('video_id')))


def _sorted_windows(results: Sequence[dict]) -> list[dict]:
    """Windows by video and offset; one that a sampler repeated counts once."""
    keys = [(one['video_id'], int(one['window_offset'] or 0)) for one in results]
    unique = dict(zip(reversed(keys), reversed(results), strict=True))
    return [unique[key] for key in sorted(unique)]


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
            kept = dict(_facts(sample), detections=found, test_cfg=test_cfg)
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
        windows = _sorted_windows(results)
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


RAW_FILE = 'raw_outputs.pth'
"""Name of the file in the folder of :class:`RawOutputWriter`."""


@METRICS.register_module()
class RawOutputWriter(BaseMetric):
    """Writes what the model says about each window to a file, before any decoding.

    The model needs ``keep_raw=True``. The file can be fused with that of another
    network, or decoded again with other settings, by ``tools/fuse_streams.py``.

    Args:
        folder: Folder to write to. The file appears there when all windows are done,
            whole or not at all.
        collect_device: 'cpu' or 'gpu', for gathering from the processes.
        collect_dir: Folder for gathering on the CPU.
    """

    default_prefix: str | None = ''

    def __init__(
        self, folder: str, collect_device: str = 'cpu', collect_dir: str | None = None
    ) -> None:
        super().__init__(collect_device=collect_device, collect_dir=collect_dir)
        self.folder = folder

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Keeps the ``raw_outputs`` of one batch of windows; see :class:`BaseMetric`.

        Raises:
            ValueError: The predictions carry no raw outputs.
        """
        for sample in data_samples:
            if sample.get('raw_outputs') is None:
                raise ValueError('no raw outputs are kept; set model.keep_raw=True')
            raw = dict(sample['raw_outputs'])
            facts = dict(_facts(sample), num_frames=raw.pop('num_frames'))
            raw = {name: value.detach().float().cpu() for name, value in raw.items()}
            self.results.append(dict(facts, outputs=raw))

    def compute_metrics(self, results: list[dict]) -> dict[str, float]:
        """Writes the windows of all processes; there are no values."""
        meta, path = self.dataset_meta or {}, Path(self.folder) / RAW_FILE
        # Of a class-agnostic data set, the second are those of a video classifier.
        names = [name for name in ('classes', 'video_classes') if meta.get(name)]
        classes = {name: list(meta[name]) for name in names}
        with atomic_write(path) as temporary:
            windows = _sorted_windows(results)
            torch.save(dict(classes=classes, windows=windows), temporary)
        print_log(f'Raw outputs are written to {path}', logger='current')
        return {}


def load_raw_outputs(folder: str | os.PathLike) -> dict[str, Any]:
    """Reads what :class:`RawOutputWriter` wrote.

    Returns:
        ``classes``, class names in label order as the metric takes them, and
        ``windows``, by video and offset. Of each window there are ``num_frames`` (T of
        the clip), what its data sample says, ``video_id``, ``window_offset``,
        ``sample_fps``, ``duration`` (seconds), ``broken`` and ``video_scores`` (each
        may be None), and ``outputs``, float32 tensors by the names of
        ``TALMTS.forward(mode='tensor')`` without the batch: (P, 2), (P, K+1) or (P,).

    Raises:
        FileNotFoundError: There is no finished run in the folder.
        ValueError: The file is damaged, or is not one of raw outputs.
    """
    path = Path(folder) / RAW_FILE
    if not path.is_file():
        raise FileNotFoundError(
            f'{folder} holds no raw outputs of a finished run ({RAW_FILE} is missing). '
            'Remedy: tools/test.py CONFIG CHECKPOINT --dump-raw FOLDER'
        )
    content = load_checkpoint(path)
    if set(content) != {'classes', 'windows'}:
        raise ValueError(f'{path} was not written by tools/test.py --dump-raw')
    return content
