"""One training of a plan: where its files are, and how far it is."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mmengine.config import ConfigDict

from mmtal_mts.utils.io import write_json

from .plan import Fold, Variant


@dataclass(frozen=True)
class RunResult:
    """What a finished run gives.

    Attributes:
        tiou_thresholds (tuple[float, ...]): M thresholds.
        mean_ap (tuple[float, ...]): M values in [0, 1].
        average (float): The mAP over those that the metric of the config averages.
        train_seconds (float): Of the training from its (last) start.
        test_seconds (float): Of the test.
        checkpoint (str): What was tested.
        config_sha256 (str): Of the text of the config.
        finished (str): Date and time, ISO 8601, UTC.
    """

    tiou_thresholds: tuple[float, ...]
    mean_ap: tuple[float, ...]
    average: float
    train_seconds: float
    test_seconds: float
    checkpoint: str
    config_sha256: str
    finished: str


@dataclass(frozen=True)
class AblationRun:
    """A variant, a fold and a seed.

    Attributes:
        variant (Variant): What is trained.
        fold (Fold): On what.
        seed (int): With which random numbers.
        folder (Path): Of all its files.
        config_text (str): Of the config, as Python; without the seed.
            The detections of its test go to :attr:`detections`.
        max_progress (int): Epochs, or iterations where the config counts those.
        unit (str): 'epoch' or 'iteration'.
        evaluator (Mapping[str, Any]): ``test_evaluator`` of the config.
        classes (tuple[str, ...]): Names of the labels.
    """

    variant: Variant
    fold: Fold
    seed: int
    folder: Path
    config_text: str
    max_progress: int
    unit: str
    evaluator: Mapping[str, Any]
    classes: tuple[str, ...]

    @property
    def name(self) -> str:
        """For a person."""
        return f'{self.variant.name} / {self.fold.name} / seed {self.seed}'

    @property
    def config(self) -> Path:
        """The config of the run, complete."""
        return self.folder / 'config.py'

    @property
    def lock(self) -> Path:
        """Locked while a process works on the run."""
        return self.folder / 'lock'

    @property
    def train_dir(self) -> Path:
        """Checkpoints and logs of the training."""
        return self.folder / 'train'

    @property
    def test_dir(self) -> Path:
        """Logs of the test."""
        return self.folder / 'test'

    @property
    def trained(self) -> Path:
        """Written when the training is done."""
        return self.folder / 'trained.json'

    @property
    def detections(self) -> Path:
        """What was found in the test videos."""
        return self.folder / 'detections.json'

    @property
    def result_file(self) -> Path:
        """Written last: with it, the run is done."""
        return self.folder / 'result.json'

    @property
    def config_sha256(self) -> str:
        """Of the text of the config."""
        return hashlib.sha256(self.config_text.encode()).hexdigest()

    def log(self, step: str) -> Path:
        """Output of a step.

        Args:
            step (str): 'train' or 'test'.

        Returns:
            Path: Text file.
        """
        return self.folder / f'{step}.log'

    def read_result(self) -> RunResult | None:
        """The result, if the run is done.

        Returns:
            RunResult, optional: None if it is not.
        """
        if not self.result_file.is_file():
            return None
        content = json.loads(self.result_file.read_text(encoding='utf-8'))
        for name in ('tiou_thresholds', 'mean_ap'):
            content[name] = tuple(content[name])
        return RunResult(**content)

    def write_result(self, result: RunResult) -> None:
        """Saves the result, whole or not at all.

        Args:
            result (RunResult): Of this run.
        """
        write_json(self.result_file, asdict(result))

    def progress(self) -> int:
        """How far the training is.

        Returns:
            int: The epoch or iteration that the log tells of last; 0 before the first.
        """
        files = sorted(self.train_dir.glob('*/vis_data/scalars.json'))
        last = _last_line(files[-1]) if files else None
        if last is None:
            return 0
        return int(last.get('epoch' if self.unit == 'epoch' else 'step', 0))


def total_progress(cfg: ConfigDict) -> tuple[int, str]:
    """Length of the training of a config.

    Args:
        cfg (ConfigDict): The config.

    Returns:
        tuple[int, str]: How many epochs or iterations, and which of both.
    """
    settings = cfg.train_cfg
    if settings.get('max_iters') is not None:
        return int(settings.max_iters), 'iteration'
    return int(settings.max_epochs), 'epoch'


def _last_line(path: Path) -> dict | None:
    """The last whole line of a file of JSON lines."""
    with path.open('rb') as file:
        file.seek(0, 2)
        file.seek(max(file.tell() - 4096, 0))
        lines = file.read().split(b'\n')[:-1]
    try:
        return json.loads(lines[-1]) if lines else None
    except ValueError:
        return None
