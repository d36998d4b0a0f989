"""A model of one layer, a data set and a metric, to exercise the tools with."""

from __future__ import annotations

import torch
from mmaction.registry import DATASETS, METRICS, MODELS
from mmengine.evaluator import BaseMetric
from mmengine.model import BaseModel
from mmengine.structures import BaseDataElement
from torch import nn
from torch.utils.data import Dataset


@DATASETS.register_module()
class ToyDataset(Dataset):
    """Numbers, with three times the number as target."""

    metainfo = dict(classes=('a', 'b'))

    def __init__(self, size: int = 8) -> None:
        self.size = size

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, index: int) -> dict:
        value = torch.tensor([index / 8])
        return dict(inputs=value, data_samples=BaseDataElement(target=3 * value))


@MODELS.register_module()
class ToyModel(BaseModel):
    """A linear function of a number."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(1, 1)
        nn.init.zeros_(self.layer.weight)
        nn.init.zeros_(self.layer.bias)

    def forward(self, inputs, data_samples=None, mode='tensor'):
        output = self.layer(torch.stack(inputs))
        if mode == 'loss':
            # As from dropout: an exact resume needs the same random numbers.
            output = output + 0.01 * torch.randn_like(output)
            target = torch.stack([sample.target for sample in data_samples])
            return dict(loss_toy=(output - target).square().mean())
        return data_samples if mode == 'predict' else output


@METRICS.register_module()
class ToyMetric(BaseMetric):
    """The number of samples."""

    default_prefix = 'toy'

    def process(self, data_batch, data_samples):
        self.results += data_samples

    def compute_metrics(self, results):
        return dict(count=len(results))
