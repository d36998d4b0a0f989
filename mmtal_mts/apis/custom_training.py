"""From a folder of videos and an annotation to a trained and tested model."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmengine.config import Config

from mmtal_mts.apis.config import (
    load_config,
    prepare_test_config,
    prepare_train_config,
)
from mmtal_mts.apis.custom_config import config_text, custom_config, mirror_is_safe
from mmtal_mts.apis.custom_data import (
    Say,
    assign_subsets,
    check_with_plan,
    describe_subsets,
    read_any_format,
)
from mmtal_mts.apis.custom_plan import plan_training
from mmtal_mts.apis.diagnosis_report import write_diagnosis
from mmtal_mts.apis.evaluation import load_evaluation_data
from mmtal_mts.apis.held_out_reports import write_held_out_reports
from mmtal_mts.apis.train import test, train
from mmtal_mts.apis.timeline import plot_timelines
from mmtal_mts.datasets.own_data import (
    TRAINING,
    VALIDATION,
    measure_videos,
)
from mmtal_mts.evaluation.diagnosis import diagnose
from mmtal_mts.structures.annotations import load_annotations
from mmtal_mts.utils import UserError, latest_checkpoint
from mmtal_mts.utils.io import atomic_write, write_json


@dataclass(frozen=True)
class CustomRun:
    """Where everything of a training on own data lies.

    Attributes:
        folder (Path): Of the run.
    """

    folder: Path

    @property
    def annotations(self) -> Path:
        """Annotation in the native format, with the split."""
        return self.folder / 'annotations.json'

    @property
    def check(self) -> Path:
        """What is wrong with the annotation, and what windows see of it."""
        return self.folder / 'annotation_check.txt'

    @property
    def config(self) -> Path:
        """Config that ``tools/train.py`` takes."""
        return self.folder / 'config.py'

    @property
    def work_dir(self) -> Path:
        """Checkpoints and logs."""
        return self.folder / 'work_dir'

    @property
    def detections(self) -> Path:
        """Detections in the validation videos."""
        return self.folder / 'detections.json'

    @property
    def reports(self) -> Path:
        """A page for each validation video."""
        return self.folder / 'reports'


def prepare_custom_training(
    run: CustomRun,
    video_dir: str,
    annotation_file: str,
    base_config: str,
    *,
    init: str | None = None,
    val_fraction: float = 0.2,
    epochs: int | None = None,
    seed: int = 0,
    num_workers: int = 2,
    say: Say = print,
) -> None:
    """Check the data, split it, and write annotation and config.

    Args:
        run (CustomRun): Where to.
        video_dir (str): Folder of the videos.
        annotation_file (str): In any of the formats that
            :func:`.import_annotations` knows. Its subsets are kept if they are
            "training" and "validation".
        base_config (str): Config that model and optimizer are taken from.
        init (str, optional): Weights to start from.
        val_fraction (float): Share of the videos to hold out.
        epochs (int, optional): Length of the training.
        seed (int): Of the split.
        num_workers (int): Processes that load the data.
        say (Callable[[str], None]): Gets the report, line by line.

    Raises:
        UserError: If the data cannot be used, or the folder holds the checkpoints of
            another training.
    """
    video_dir = os.path.abspath(video_dir)
    if init is not None:
        if not os.path.isfile(init):
            raise UserError(f'--init {init}: no such file')
        init = os.path.abspath(init)
    base = load_config(base_config)
    content = read_any_format(annotation_file, say)
    database = measure_videos(content['database'], video_dir)
    assign_subsets(database, val_fraction, seed, say)
    write_json(run.annotations, dict(content, database=database))
    # What cannot be repaired, stops here; the rest is told and clamped.
    annotations = load_annotations(str(run.annotations), on_invalid='clamp')
    say(describe_subsets(annotations))

    training = [v for v in annotations.videos.values() if v.subset == TRAINING]
    plan = plan_training(
        [video.segments for video in training],
        [video.duration for video in training],
        min(video.fps for video in training),
        epochs,
    )
    check_with_plan(
        run.check,
        dict(content, database=database),
        annotations.classes,
        plan,
        say,
    )
    mirror = (
        'windows are mirrored by chance'
        if mirror_is_safe(annotations.classes)
        else 'windows are not mirrored: a class name tells left from right'
    )
    reasons = (*plan.reasons, mirror)
    say('\n'.join(f'  {reason}' for reason in reasons))
    cfg = custom_config(
        base,
        plan,
        annotations.classes,
        os.path.abspath(run.annotations),
        video_dir,
        init,
        num_workers,
    )
    text = config_text(cfg, reasons)
    _refuse_other_training(run, text)
    with atomic_write(run.config) as temporary:
        temporary.write_text(text, encoding='utf-8')
    say(f'wrote {run.config}')


def train_custom(run: CustomRun, seed: int = 0, say: Say = print) -> dict[str, Any]:
    """Train, test, and draw what came out. An interrupted training goes on.

    Args:
        run (CustomRun): Prepared by :func:`prepare_custom_training`.
        seed (int): Of the training.
        say (Callable[[str], None]): Gets what could not be drawn, line by line.

    Returns:
        dict: ``mAP`` by name, and the paths ``checkpoint``, ``timeline``,
        ``diagnosis`` and ``reports``, the last with their number.
    """
    cfg = load_config(run.config)
    train(
        prepare_train_config(cfg, work_dir=str(run.work_dir), resume='auto', seed=seed)
    )
    checkpoint = latest_checkpoint(str(run.work_dir))
    metrics = test(
        prepare_test_config(
            load_config(run.config),
            checkpoint=checkpoint,
            work_dir=str(run.work_dir / 'test'),
            cfg_options={'test_evaluator.dump_path': str(run.detections)},
        )
    )
    timeline = run.folder / 'timeline.png'
    plot_timelines(
        run.annotations,
        run.detections,
        timeline,
        video_dir=_video_dir(cfg),
        on_invalid='clamp',
        title='held-out videos',
    )
    data = load_evaluation_data(
        run.annotations, run.detections, subset=VALIDATION, on_invalid='clamp'
    )
    diagnosis = diagnose(data.classes, data.ground_truth, data.detections)
    _, page = write_diagnosis(
        run.folder / 'diagnosis', diagnosis, f'{run.folder.name}: held-out videos', 0.1
    )
    reports = write_held_out_reports(
        run.annotations, run.detections, _video_dir(cfg), run.reports, VALIDATION, say
    )
    return {
        'mAP': {name: float(value) for name, value in metrics.items()},
        'checkpoint': str(run.work_dir / Path(checkpoint).name),
        'timeline': str(timeline),
        'diagnosis': str(page),
        'reports': f'{run.reports}, {len(reports)} of {len(data.ground_truth)} videos',
    }


def _refuse_other_training(run: CustomRun, text: str) -> None:
    """Checkpoints of other settings are neither resumed nor overwritten."""
    if latest_checkpoint(str(run.work_dir)) is None:
        return
    if not run.config.is_file() or run.config.read_text(encoding='utf-8') != text:
        raise UserError(
            f'{run.work_dir} holds checkpoints of a training with other settings. '
            'Choose another --out, or delete that folder'
        )


def _video_dir(cfg: Config) -> str:
    """Folder of the videos of a config that was written here."""
    return cfg.test_dataloader.dataset.data_prefix.video
