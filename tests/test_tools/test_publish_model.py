"""A published file has the weights to use, the config, and nothing to carry along."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

import pytest
import torch
from mmengine.model import BaseModel
from torch import nn
from toy_runner import make_runner

from mmtal_mts.utils import run_tool


class Toy(BaseModel):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(1, 1)

    def forward(self, inputs, data_samples=None, mode='tensor'):
        return dict(loss=self.layer(torch.stack(inputs)).square().mean())


def train(work_dir, **settings):
    runner = make_runner(work_dir, Toy(), experiment_name='toy_config', **settings)
    runner.train()
    return runner, work_dir / 'epoch_1.pth'


@pytest.fixture
def publish(load_tool, monkeypatch):
    """Runs the tool in this process: its exit code."""
    tool = load_tool('deployment/publish_model.py')

    def run(*args):
        monkeypatch.setattr(sys, 'argv', ['publish_model.py', *map(str, args)])
        return run_tool(tool.main)

    return run


def test_file_holds_weights_config_and_a_true_hash(publish, tmp_path):
    runner, checkpoint = train(tmp_path / 'work')
    assert publish(checkpoint, tmp_path / 'zoo') == 0
    (path,) = (tmp_path / 'zoo').iterdir()
    digest = hashlib.sha256(path.read_bytes()).hexdigest()[:8]
    assert path.name == f'toy_config-{digest}.pth'
    published = torch.load(path, weights_only=True)
    assert set(published) == {'meta', 'state_dict'}
    assert published['meta']['cfg'] == runner.cfg.pretty_text
    for key, value in runner.model.state_dict().items():
        assert torch.equal(published['state_dict'][key], value)
    # The same weights are the same file.
    assert publish(checkpoint, tmp_path / 'again') == 0
    assert [p.name for p in (tmp_path / 'again').iterdir()] == [path.name]


def test_averaged_weights_are_taken(publish, tmp_path):
    hooks = [dict(type='EMAHook', momentum=0.5)]
    runner, checkpoint = train(tmp_path / 'ema', custom_hooks=hooks)
    assert publish(checkpoint, tmp_path / 'zoo', '--name', 'averaged') == 0
    (path,) = (tmp_path / 'zoo').glob('averaged-*.pth')
    weight = torch.load(path, weights_only=True)['state_dict']['layer.weight']
    average = next(h for h in runner._hooks if type(h).__name__ == 'EMAHook')
    assert torch.equal(weight, average.ema_model.module.layer.weight)
    assert not torch.equal(weight, runner.model.layer.weight)


def test_file_without_config_is_refused(publish, tmp_path, capsys):
    path = Path(tmp_path / 'weights.pth')
    torch.save(dict(state_dict=dict(a=torch.ones(1))), path)
    assert publish(path, tmp_path / 'zoo') == 2
    assert 'does not hold its config' in capsys.readouterr().err
    assert publish(tmp_path / 'none.pth', tmp_path / 'zoo') == 2
    assert 'does not exist' in capsys.readouterr().err
