"""An exported network in the place of the one in torch."""

from __future__ import annotations

import importlib
import json
from types import ModuleType

import torch
from mmaction.registry import MODELS
from mmaction.structures import ActionDataSample
from mmengine.config import Config
from torch import Tensor, nn

from ..models.dense_heads import (
    RAW_OUTPUTS,
    add_pred_to_datasample,
    complete_test_cfg,
    select_detections,
)
from ..utils import UserError

OUTPUTS = {'raw': RAW_OUTPUTS, 'decoded': ('segments', 'scores')}
"""Names of the outputs by what the exported graph ends with."""


class OnnxDetector(nn.Module):
    """Runs an ONNX file of ``tools/deployment/export.py`` like the model itself.

    :class:`.TALInferencer` takes it where ``weights`` ends with ``.onnx``, so that
    windows, NMS and all outputs are the same.

    Args:
        path: ONNX file.
        cfg: The config that it was exported from.

    Attributes:
        num_classes: K.
        meta: The names of the classes as a checkpoint has them, None if the config had
            none.
        test_cfg: Settings behind the network, see :class:`.TALMTS`.

    Raises:
        UserError: The file is no export of this package.
    """

    def __init__(self, path: str, cfg: Config) -> None:
        super().__init__()
        self._path = path
        self.to('cpu')
        facts = self.session.get_modelmeta().custom_metadata_map
        if 'mmtal_ends_with' not in facts:
            raise UserError(
                f'{path} was not written by tools/deployment/export.py: it does not '
                'say what its outputs are'
            )
        names = ('ends_with', 'num_classes', 'batch_size', 'classes')
        values = [json.loads(facts[f'mmtal_{name}']) for name in names]
        self._ends_with, self.num_classes, self._batch_size, classes = values
        self.meta = dict(dataset_meta=dict(classes=classes or None))
        self.test_cfg = complete_test_cfg(cfg.model.get('test_cfg'))
        # It only decodes: its weights are in the file, here they take no memory.
        with torch.device('meta'):
            self._head = MODELS.build(cfg.model.refine_head)

    def to(self, device: torch.device | str) -> OnnxDetector:
        """Moves to a GPU if onnxruntime can use it."""
        runtime, providers = import_package('onnxruntime'), ['CPUExecutionProvider']
        if torch.device(device).type == 'cuda':
            providers.insert(0, 'CUDAExecutionProvider')
            if providers[0] not in runtime.get_available_providers():
                raise UserError(
                    f'--device {device}: this onnxruntime has no {providers[0]}. '
                    'Remedy: --device cpu, or install onnxruntime-gpu'
                )
        try:
            self.session = runtime.InferenceSession(self._path, providers=providers)
        # Its exceptions have no common base.
        except Exception as error:
            raise UserError(
                f'{self._path}: onnxruntime cannot load it: {error}'
            ) from error
        return self

    def forward(self, inputs: Tensor) -> list[Tensor]:
        """Outputs of N clips, in the order of :data:`OUTPUTS`.

        Args:
            inputs: (N, C, T, H, W) or (N, C, T) float32. They run in batches of the
                size that was exported.
        """
        parts = []
        for batch in inputs.split(self._batch_size):
            # The last batch may have to be filled up.
            padded = batch[torch.arange(self._batch_size).clamp(max=len(batch) - 1)]
            found = self.session.run(None, {'inputs': padded.numpy()})
            parts.append(map(torch.from_numpy, found))
        named = zip(OUTPUTS[self._ends_with], zip(*parts, strict=True), strict=True)
        return [
            # All batches share the points of the locations.
            values[0] if name == 'points' else torch.cat(values)[: len(inputs)]
            for name, values in named
        ]

    def test_step(self, data: dict) -> list[ActionDataSample]:
        """Detects in windows.

        Args:
            data: ``inputs``, N tensors (C, T, H, W) or (C, T), and their
                ``data_samples``.

        Returns:
            The data samples with ``pred_instances``, before NMS.
        """
        inputs = torch.stack([item.float() for item in data['inputs']])
        outputs, samples = self(inputs), data['data_samples']
        if self._ends_with == 'raw':
            raw = dict(zip(RAW_OUTPUTS, outputs, strict=True))
            length = inputs.shape[2]
            found = self._head.predict_by_feat(raw, length, samples, self.test_cfg)
        else:
            clips = zip(*outputs, samples, strict=True)
            found = [select_detections(*clip, self.test_cfg) for clip in clips]
        return add_pred_to_datasample(samples, found, self.test_cfg)


def import_package(name: str) -> ModuleType:
    """Imports a package of ``requirements/export.txt``.

    Raises:
        UserError: It is not installed.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise UserError(
            f'{name} is not installed ({error}). Remedy: pip install '
            '-r requirements/export.txt'
        ) from error
