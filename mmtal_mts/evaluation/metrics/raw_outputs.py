"""Raw outputs of a model on disk: one file per window, and a list of them."""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import numpy as np
import torch
from mmaction.registry import METRICS
from mmengine.evaluator import BaseMetric
from mmengine.logging import print_log

from ...utils.io import atomic_write, write_json

_INDEX = 'index.json'
# Number of dimensions of each; the first one is that of the P locations.
_OUTPUTS = {
    'points': 1,
    'coarse_distances': 2,
    'coarse_logits': 2,
    'refine_offsets': 2,
    'refine_logits': 2,
    'quality_logits': 1,
}


class WindowKey(NamedTuple):
    """Names a window: its video, and its first sampled frame there."""

    video_id: str
    window_offset: int

    def __str__(self) -> str:
        return f'{self.video_id} at sampled frame {self.window_offset}'


class RawWindow(NamedTuple):
    """What a model says about a window, before any decoding.

    Attributes:
        outputs: float32 arrays by the names of ``TALMTS.forward(mode='tensor')``,
            without the batch dimension: (P, 2), (P, K+1) or (P,).
        facts: ``num_frames`` (T of the clip), ``window_offset`` (with its fraction,
            where it is that of features), ``sample_fps``, ``duration`` (seconds,
            or None), ``broken`` and ``video_scores`` (or None).
    """

    outputs: dict[str, np.ndarray]
    facts: dict[str, Any]


def is_raw_folder(folder: str | os.PathLike) -> bool:
    """Says whether a folder holds the raw outputs of a finished run."""
    return (Path(folder) / _INDEX).is_file()


def write_window(folder: str | os.PathLike, key: WindowKey, window: RawWindow) -> None:
    """Writes one window, whole or not at all; values become float32."""
    arrays = {
        name: np.asarray(window.outputs[name], dtype=np.float32) for name in _OUTPUTS
    }
    with atomic_write(_path(folder, key)) as temporary:
        np.savez(temporary, facts=np.array(json.dumps(window.facts)), **arrays)


def write_index(
    folder: str | os.PathLike,
    keys: Iterable[WindowKey],
    dataset_meta: Mapping[str, Sequence[str]],
) -> None:
    """Finishes a folder: without its list of windows it does not count as whole.

    Windows come in any order and possibly repeated, classes as the metric takes them.
    """
    meta = {name: list(names) for name, names in dataset_meta.items()}
    windows = [list(key) for key in sorted(set(keys))]
    write_json(Path(folder) / _INDEX, dict(dataset_meta=meta, windows=windows))


def _path(folder: str | os.PathLike, key: WindowKey) -> Path:
    # An id may hold characters that a file name may not.
    name = quote(key.video_id, safe=' ()+,=@')
    return Path(folder) / f'{name}@{key.window_offset:07}.npz'


class RawOutputFolder:
    """Raw outputs of a run, read window by window.

    Args:
        path: Folder that :class:`RawOutputWriter` finished.

    Attributes:
        path: The folder.
        dataset_meta: Class names in label order, as the metric takes them.
        keys: All windows, by video and offset.

    Raises:
        FileNotFoundError: There is no finished run in it.
        ValueError: Its list is damaged.
    """

    def __init__(self, path: str | os.PathLike) -> None:
        self.path = Path(path)
        index = self.path / _INDEX
        if not index.is_file():
            raise FileNotFoundError(
                f'{self.path} holds no raw outputs of a finished run ({_INDEX} is '
                'missing). Remedy: tools/test.py CONFIG CHECKPOINT --dump-raw FOLDER'
            )
        try:
            content = json.loads(index.read_text(encoding='utf-8'))
            self.dataset_meta: dict[str, list[str]] = dict(content['dataset_meta'])
            self.keys = [
                WindowKey(str(name), int(offset)) for name, offset in content['windows']
            ]
        except (ValueError, TypeError, KeyError) as error:
            raise ValueError(
                f'{index}: not a list of windows ({error!r}); run tools/test.py '
                '--dump-raw again into another folder'
            ) from error

    def load(self, key: WindowKey) -> RawWindow:
        """Reads one window, one of ``keys``.

        Raises:
            ValueError: Its file is missing, damaged, or of inconsistent shapes.
        """
        path = _path(self.path, key)
        try:
            with np.load(path, allow_pickle=False) as arrays:
                outputs = {name: arrays[name] for name in _OUTPUTS}
                facts = json.loads(arrays['facts'].item())
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise ValueError(
                f'{path}: window {key} is listed but cannot be read ({error})'
            ) from error
        shapes = {name: value.shape for name, value in outputs.items()}
        if any(
            len(shape) != _OUTPUTS[name] or shape[0] != len(outputs['points'])
            for name, shape in shapes.items()
        ):
            raise ValueError(f'{path}: shapes do not belong together: {shapes}')
        return RawWindow(outputs, facts)


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
            outputs = {name: raw[name].detach().float().cpu() for name in _OUTPUTS}
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
