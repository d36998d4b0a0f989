"""A file of what the model says about each window, for the fusion of streams."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from mmaction.registry import METRICS
from mmengine.evaluator import BaseMetric
from mmengine.logging import print_log

from ...utils.checkpoint import load_checkpoint
from ...utils.io import atomic_write

RAW_FILE = 'raw_outputs.pth'
"""Name of the file in the folder of :class:`RawOutputWriter`."""


def window_facts(sample: Any) -> dict[str, Any]:
    """Returns what both metrics keep of the data sample of a window."""
    names = ('window_offset', 'sample_fps', 'duration', 'broken', 'video_scores')
    facts = {name: sample.get(name) for name in names}
    return dict(facts, video_id=str(sample.get('video_id')))


def sort_windows(results: Sequence[dict]) -> list[dict]:
    """Sorts windows by video and offset; one that a sampler repeated counts once."""
    keys = [(one['video_id'], int(one['window_offset'] or 0)) for one in results]
    unique = dict(zip(reversed(keys), reversed(results), strict=True))
    return [unique[key] for key in sorted(unique)]


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
            facts = dict(window_facts(sample), num_frames=raw.pop('num_frames'))
            raw = {name: value.detach().float().cpu() for name, value in raw.items()}
            self.results.append(dict(facts, outputs=raw))

    def compute_metrics(self, results: list[dict]) -> dict[str, float]:
        """Writes the windows of all processes; there are no values."""
        meta, path = self.dataset_meta or {}, Path(self.folder) / RAW_FILE
        # Of a class-agnostic data set, the second are those of a video classifier.
        names = [name for name in ('classes', 'video_classes') if meta.get(name)]
        classes = {name: list(meta[name]) for name in names}
        with atomic_write(path) as temporary:
            windows = sort_windows(results)
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
