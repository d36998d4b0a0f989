"""From the detections of runs to numbers."""

from __future__ import annotations

from collections.abc import Sequence

from mmtal_mts.evaluation.functional.detections import load_detections
from mmtal_mts.evaluation.functional.mean_ap import (
    MeanAPResult,
    mean_average_precision,
)
from mmtal_mts.evaluation.metrics.ground_truth import GroundTruthSource
from mmtal_mts.utils import UserError

from .run import AblationRun

_DEFAULT_THRESHOLDS = (0.3, 0.4, 0.5, 0.6, 0.7)


def evaluate_runs(runs: Sequence[AblationRun]) -> tuple[MeanAPResult, float]:
    """Evaluates the detections of one run, or of several folds together.

    Args:
        runs (Sequence[AblationRun]): Runs whose test videos are different ones.

    Returns:
        tuple[MeanAPResult, float]: The mAP by threshold, and its average as the
        metric of the config takes it.

    Raises:
        UserError: If two of the runs test the same video.
        ValueError: If a file is invalid.
    """
    truth, detections = {}, {}
    for run in runs:
        settings = run.evaluator
        subset = settings.get('subset')
        source = GroundTruthSource(
            settings['ann_file'],
            (subset,) if isinstance(subset, str) else subset,
            settings.get('on_invalid', 'error'),
            settings.get('class_agnostic', False),
            settings.get('protocol'),
        )
        _, videos = source.load(run.classes)
        twice = sorted(set(videos) & set(truth))
        if twice:
            raise UserError(
                f'{run.name}: video {twice[0]!r} is tested in another fold as well, so '
                'the folds cannot be evaluated together'
            )
        truth.update(videos)
        classes = ('action',) if source.class_agnostic else run.classes
        detections.update(load_detections(run.detections, classes))
    settings = runs[0].evaluator
    result = mean_average_precision(
        truth,
        detections,
        len(classes),
        settings.get('tiou_thresholds', _DEFAULT_THRESHOLDS),
    )
    return result, result.average(settings.get('average_over'))
