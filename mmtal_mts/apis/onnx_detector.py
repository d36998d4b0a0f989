"""An exported network in the place of the one in torch."""

from __future__ import annotations

import json
from collections.abc import Sequence

import torch
from mmaction.structures import ActionDataSample
from mmengine.config import Config
from torch import Tensor, nn

from mmtal_mts.models.detectors import predict_streams, refine_head_without_weights
from mmtal_mts.models.utils import (
    add_pred_to_datasample,
    complete_test_cfg,
    select_detections,
)
from mmtal_mts.utils import UserError

from .export import onnx_session
from .export_model import RAW_OUTPUTS


class OnnxDetector(nn.Module):
    """Runs an ONNX file of :func:`.export_model` as if it were the model itself.

    :class:`~mmtal_mts.apis.inference.TALInferencer` takes it where ``weights`` ends
    with ``.onnx``, so that windows, NMS and all outputs are the same.

    Args:
        path (str): ONNX file.
        cfg (Config): The config that it was exported from, for its head and test_cfg.

    Attributes:
        num_classes (int): K.
        classes (tuple[str, ...]): Their names, empty if the config had none.
        meta (dict): The same, as a checkpoint has it.

    Raises:
        UserError: If the file is no export of this package.
    """

    def __init__(self, path: str, cfg: Config) -> None:
        super().__init__()
        self._path = path
        self.session = onnx_session(path, ['CPUExecutionProvider'])
        facts = self.session.get_modelmeta().custom_metadata_map
        if 'mmtal_ends_with' not in facts:
            raise UserError(
                f'{path} was not written by tools/deployment/export.py: it does not '
                'say what its outputs are'
            )
        self.ends_with = json.loads(facts['mmtal_ends_with'])
        self.num_classes = json.loads(facts['mmtal_num_classes'])
        self.classes = tuple(json.loads(facts['mmtal_classes']))
        self.batch_size = json.loads(facts['mmtal_batch_size'])
        self.meta = dict(dataset_meta=dict(classes=self.classes or None))
        self.head = refine_head_without_weights(cfg.model)
        self.test_cfg = complete_test_cfg(cfg.model.get('test_cfg'))

    def to(self, device: torch.device | str) -> OnnxDetector:
        """Moves to a GPU if onnxruntime can use it."""
        if torch.device(device).type == 'cuda':
            import onnxruntime

            wanted = 'CUDAExecutionProvider'
            if wanted not in onnxruntime.get_available_providers():
                raise UserError(
                    f'--device {device}: this onnxruntime has no {wanted}. Remedy: '
                    '--device cpu, or install onnxruntime-gpu'
                )
            self.session = onnx_session(self._path, [wanted, 'CPUExecutionProvider'])
        return self

    def test_step(self, data: dict) -> list[ActionDataSample]:
        """Detects in windows.

        Args:
            data (dict): ``inputs``, N tensors (C, T, H, W) uint8 or (C, T), and their
                ``data_samples``.

        Returns:
            list[ActionDataSample]: With ``pred_instances``, before NMS.
        """
        inputs = torch.stack([item.float() for item in data['inputs']])
        outputs = self._run(inputs)
        samples: Sequence[ActionDataSample] = data['data_samples']
        if self.ends_with == 'raw':
            named = dict(zip(RAW_OUTPUTS, outputs))
            return predict_streams(
                self.head, [named], inputs.shape[2], samples, self.test_cfg
            )
        found = [
            select_detections(segments, scores, sample, self.test_cfg)
            for sample, segments, scores in zip(samples, *outputs, strict=True)
        ]
        return add_pred_to_datasample(samples, found, self.test_cfg)

    def _run(self, inputs: Tensor) -> list[Tensor]:
        """Outputs of N clips, in batches of the size that was exported."""
        parts = []
        for batch in inputs.split(self.batch_size):
            # The last batch may have to be filled up.
            padded = batch[torch.arange(self.batch_size).clamp(max=len(batch) - 1)]
            found = self.session.run(None, {'inputs': padded.numpy()})
            parts.append([torch.from_numpy(value) for value in found])
        shared = {0} if self.ends_with == 'raw' else set()  # points
        return [
            values[0] if i in shared else torch.cat(values)[: len(inputs)]
            for i, values in enumerate(zip(*parts))
        ]
