"""A published file has the weights to use, the config, and nothing to carry along."""

from __future__ import annotations

import hashlib
import sys

import pytest
import torch
from mmengine.model import BaseModel
from toy_runner import make_runner

from mmtal_mts.utils import run_tool


class Toy(BaseModel):
    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(1, 1)

    def forward(self, inputs, data_samples=None, mode='tensor'):
        return dict(loss=self.layer(torch.stack(inputs)).square().mean())


@pytest.fixture
def publish(load_tool, monkeypatch, tmp_path):
    """Runs the tool in this process: its exit code, and the files of its folder."""

    def run(checkpoint, out='zoo', *args):
        command = ['publish_model.py', checkpoint, tmp_path / out, *args]
        monkeypatch.setattr(sys, 'argv', [*map(str, command)])
        tool = load_tool('deployment/publish_model.py')
        return run_tool(tool.main), [*(tmp_path / out).glob('*')]

    return run


def test_file_holds_averaged_weights_config_and_a_true_hash(publish, tmp_path):
    hooks = [dict(type='EMAHook', momentum=0.5)]
    settings = dict(custom_hooks=hooks, experiment_name='toy_config')
    runner = make_runner(tmp_path / 'work', Toy(), **settings)
    runner.train()
    checkpoint = tmp_path / 'work/epoch_1.pth'
    code, (path,) = publish(checkpoint)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()[:8]
    assert code == 0 and path.name == f'toy_config-{digest}.pth'
    published = torch.load(path, weights_only=True)
    assert set(published) == {'meta', 'state_dict'}
    assert published['meta']['cfg'] == runner.cfg.pretty_text
    average = next(h for h in runner._hooks if type(h).__name__ == 'EMAHook')
    for key, value in average.ema_model.module.state_dict().items():
        assert torch.equal(published['state_dict'][key], value)
    weight = published['state_dict']['layer.weight']
    assert not torch.equal(weight, runner.model.layer.weight)
    # The same weights are the same file.
    assert [p.name for p in publish(checkpoint, 'again')[1]] == [path.name]
    named = publish(checkpoint, 'named', '--name', 'averaged')[1]
    assert [p.name for p in named] == [f'averaged-{digest}.pth']


def test_file_without_config_is_refused(publish, tmp_path, capsys):
    torch.save(dict(state_dict=dict(a=torch.ones(1))), tmp_path / 'a.pth')
    for name, message in (('a', 'does not hold its config'), ('b', 'does not exist')):
        assert publish(tmp_path / f'{name}.pth')[0] == 2
        assert message in capsys.readouterr().err
