"""From the logs of trainings to a picture of their losses."""

from __future__ import annotations

import json
import os
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from mmtal_mts.utils import UserError
from mmtal_mts.visualization.loss_plot import draw_losses


def read_losses(work_dir: str | os.PathLike, key: str = 'loss') -> dict[int, float]:
    """Reads the mean loss of each epoch from the log of a training.

    A training that was interrupted has a log for each start; where they overlap, what
    was logged last counts.

    Args:
        work_dir (str | os.PathLike): Its ``--work-dir``.
        key (str): Which of the logged numbers.

    Returns:
        dict[int, float]: By epoch, from 1.

    Raises:
        UserError: If there is no log, or it does not know the key.
    """
    paths = sorted(Path(work_dir).glob('*/vis_data/scalars.json'))
    if not paths:
        raise UserError(
            f'{work_dir}: no log of a training (*/vis_data/scalars.json). Name the '
            '--work-dir of tools/train.py'
        )
    by_step: dict[int, tuple[int, float]] = {}
    keys: dict[str, None] = {}
    for path in paths:
        for number, line in enumerate(path.read_text().splitlines(), start=1):
            try:
                entry = json.loads(line)
            except ValueError as error:
                raise UserError(f'{path}:{number}: not valid JSON ({error})') from error
            if not isinstance(entry, dict) or 'epoch' not in entry:
                continue  # a validation
            keys.update(dict.fromkeys(entry))
            if isinstance(entry.get(key), (int, float)):
                by_step[entry['step']] = (entry['epoch'], float(entry[key]))
    if not by_step:
        known = ', '.join(name for name in keys if name.startswith('loss'))
        raise UserError(
            f'{work_dir}: no {key!r} was logged; there is {known or "none"}'
        )
    values: dict[int, list[float]] = defaultdict(list)
    for epoch, value in by_step.values():
        values[epoch].append(value)
    return {epoch: sum(found) / len(found) for epoch, found in values.items()}


def plot_losses(
    work_dirs: Sequence[str | os.PathLike],
    out_path: str | os.PathLike,
    key: str = 'loss',
    title: str = '',
) -> None:
    """Draws a loss over the epochs of some trainings.

    Args:
        work_dirs (Sequence[str | os.PathLike]): A curve for each.
        out_path (str | os.PathLike): PNG file to write.
        key (str): Which of the logged numbers.
        title (str): Of the picture.

    Raises:
        UserError: See :func:`read_losses`.
    """
    curves = {
        Path(work_dir).resolve().name: read_losses(work_dir, key)
        for work_dir in work_dirs
    }
    draw_losses(out_path, curves, key, title)
