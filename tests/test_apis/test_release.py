"""A published file has the weights to use, the config, and nothing to carry along."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
import torch
from mmengine.model import BaseModel
from mmengine.runner import Runner
from torch import nn

from mmtal_mts.apis import publish_checkpoint
from mmtal_mts.utils import UserError


class Toy(BaseModel):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(1, 1)

    def forward(self, inputs, data_samples=None, mode='tensor'):
        return dict(loss=self.layer(torch.stack(inputs)).square().mean())


def train(work_dir, **kwargs):
    torch.manual_seed(0)
    runner = Runner(
        model=Toy(),
        work_dir=str(work_dir),
        train_dataloader=dict(
            dataset=[dict(inputs=torch.ones(1)) for _ in range(4)],
            batch_size=1,
            sampler=dict(type='DefaultSampler', shuffle=False),
            collate_fn=dict(type='pseudo_collate'),
        ),
        train_cfg=dict(by_epoch=True, max_epochs=1),
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.1, momentum=0.9)),
        default_scope='mmaction',
        experiment_name='toy_config',
        log_level='ERROR',
        **kwargs,
    )
    runner.train()
    return runner, str(work_dir / 'epoch_1.pth')


def test_holds_weights_config_and_a_true_hash(tmp_path):
    runner, checkpoint = train(tmp_path / 'work')
    path = publish_checkpoint(checkpoint, str(tmp_path / 'zoo'))
    content = Path(path).read_bytes()
    digest = hashlib.sha256(content).hexdigest()[:8]
    assert Path(path).name == f'toy_config-{digest}.pth'
    published = torch.load(path, weights_only=True)
    assert set(published) == {'meta', 'state_dict'}
    assert published['meta']['cfg'] == runner.cfg.pretty_text
    for key, value in runner.model.state_dict().items():
        assert torch.equal(published['state_dict'][key], value)
    assert [p.name for p in (tmp_path / 'zoo').iterdir()] == [Path(path).name]


def test_averaged_weights_are_taken(tmp_path):
    hooks = [dict(type='EMAHook', momentum=0.5)]
    runner, checkpoint = train(tmp_path / 'ema', custom_hooks=hooks)
    path = publish_checkpoint(checkpoint, str(tmp_path), name='averaged')
    weight = torch.load(path, weights_only=True)['state_dict']['layer.weight']
    average = runner._hooks[[type(h).__name__ for h in runner._hooks].index('EMAHook')]
    assert torch.equal(weight, average.ema_model.module.layer.weight)
    assert not torch.equal(weight, runner.model.layer.weight)


def test_file_without_config_is_refused(tmp_path):
    path = tmp_path / 'weights.pth'
    torch.save(dict(state_dict=dict(a=torch.ones(1))), path)
    with pytest.raises(UserError, match='does not hold its config'):
        publish_checkpoint(str(path), str(tmp_path))
    with pytest.raises(UserError, match='does not exist'):
        publish_checkpoint(str(tmp_path / 'none.pth'), str(tmp_path))
