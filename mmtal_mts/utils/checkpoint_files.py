"""Finds the checkpoints of a work dir."""

from __future__ import annotations

import zipfile
from pathlib import Path


def latest_checkpoint(work_dir: str | Path) -> str | None:
    """Finds the newest checkpoint from which training can go on.

    The one that the file ``last_checkpoint`` names comes first, also if the work dir
    has been moved since. If it is gone or torn (training was killed while writing),
    the newest whole ``epoch_*.pth`` or ``iter_*.pth`` is taken.

    Args:
        work_dir: Folder of a training.

    Returns:
        Path of a whole checkpoint, or None if there is none.
    """
    work_dir = Path(work_dir)
    candidates = []
    pointer = work_dir / 'last_checkpoint'
    if pointer.is_file():
        named = Path(pointer.read_text(encoding='utf-8').strip())
        candidates += [named, work_dir / named.name]
    numbered = [*work_dir.glob('epoch_*.pth'), *work_dir.glob('iter_*.pth')]
    candidates += sorted(numbered, key=_age, reverse=True)
    for path in candidates:
        if _is_whole(path):
            return str(path)
    return None


def best_checkpoint(work_dir: str | Path) -> str | None:
    """Finds the checkpoint with the best validation result.

    Args:
        work_dir: Folder of a training.

    Returns:
        Path of the newest whole ``best_*.pth``, or None if there is none.
    """
    paths = sorted(Path(work_dir).glob('best_*.pth'), key=_age, reverse=True)
    return next((str(path) for path in paths if _is_whole(path)), None)


def _age(path: Path) -> tuple[float, str]:
    """Sorts by time of writing, then by name."""
    return path.stat().st_mtime, path.name


def _is_whole(path: Path) -> bool:
    """A torch file is a zip archive, whose index comes last."""
    return path.is_file() and zipfile.is_zipfile(path)
