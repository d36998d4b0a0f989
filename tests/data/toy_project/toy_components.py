"""A model of one layer, a data set and a metric, to exercise the tools with."""

from __future__ import annotations

import os
import signal

import torch
from mmaction.registry import DATASETS, HOOKS, METRICS, MODELS
from mmengine import dist
from mmengine.evaluator import BaseMetric
from mmengine.hooks import Hook
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
        if index >= 8:
            raise ValueError(f'clip {index} of toy.json cannot be read: too large')
        value = torch.tensor([index / 8])
        sample = BaseDataElement(metainfo=dict(video_id=f'video_{index}'))
        sample.target = 3 * value
        return dict(inputs=value, data_samples=sample)


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
        if mode == 'predict':
            for sample, value in zip(data_samples, output, strict=True):
                sample.value = value
            return data_samples
        return output


@METRICS.register_module()
class ToyMetric(BaseMetric):
    """Mean absolute error, and over how many samples."""

    default_prefix = 'toy'

    def process(self, data_batch, data_samples):
        for sample in data_samples:
            self.results.append(float((sample['value'] - sample['target']).abs()))

    def compute_metrics(self, results):
        return dict(error=sum(results) / len(results), count=len(results))


@HOOKS.register_module()
class LosePeerHook(Hook):
    """Kills the last process in the middle of the training."""

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        if batch_idx == 1 and dist.get_rank() == dist.get_world_size() - 1:
            os.kill(os.getpid(), signal.SIGKILL)
