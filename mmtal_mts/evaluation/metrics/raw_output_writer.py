"""Saves raw outputs while a model is tested."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from mmaction.registry import METRICS
from mmengine.evaluator import BaseMetric
from mmengine.logging import print_log

from ..functional.raw_outputs import RawWindow, WindowKey, write_index, write_window


@METRICS.register_module()
class RawOutputWriter(BaseMetric):
    """Writes what the model says about each window to disk, as it comes.

    The model needs ``keep_raw=True``. The files can be fused with those of another
    network, or decoded again with other settings, by ``tools/fuse_streams.py``.

    Args:
        folder: Folder to write.
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
        """Writes one batch of windows.

        Args:
            data_batch: Not used.
            data_samples: Windows with ``raw_outputs``.

        Raises:
            ValueError: The predictions carry no raw outputs.
        """
        for sample in data_samples:
            raw = sample.get('raw_outputs')
            if raw is None:
                raise ValueError(
                    'the model keeps no raw outputs; set model.keep_raw=True'
                )
            key = WindowKey(sample['video_id'], int(sample['window_offset']))
            outputs = {
                name: value.detach().float().cpu().numpy()
                for name, value in raw.items()
                if isinstance(value, torch.Tensor)
            }
            duration, video_scores = sample.get('duration'), sample.get('video_scores')
            if video_scores is not None:
                video_scores = {
                    name: torch.as_tensor(video_scores[name]).tolist()
                    for name in ('labels', 'scores')
                }
            facts = dict(
                num_frames=int(raw['num_frames']),
                # Of features it is no whole number, as the key is.
                window_offset=float(sample['window_offset']),
                sample_fps=float(sample['sample_fps']),
                duration=None if duration is None else float(duration),
                broken=bool(sample.get('broken', False)),
                video_scores=video_scores,
            )
            write_window(self.folder, key, RawWindow(outputs, facts))
            self.results.append(key)

    def compute_metrics(self, results: list[WindowKey]) -> dict[str, float]:
        """Finishes the folder, of which ``results`` are all windows; no values."""
        meta = self.dataset_meta or {}
        # Of a class-agnostic data set, the second are those of a video classifier.
        classes = {
            name: meta[name] for name in ('classes', 'video_classes') if meta.get(name)
        }
        write_index(self.folder, [WindowKey(*key) for key in results], classes)
        print_log(f'Raw outputs are written to {self.folder}', logger='current')
        return {}
