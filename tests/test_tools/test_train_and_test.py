"""The command line tools, run as a person runs them, on a toy model."""

from __future__ import annotations

import pickle
import sys

import pytest
from toy_runner import ROOT, run_child

from mmtal_mts.utils import run_tool

FOLDER = f'{ROOT}/tests/data/toy_project'
TOY = f'{FOLDER}/toy_config.py'


@pytest.fixture
def in_process(load_tool, monkeypatch, tmp_path):
    """Runs a tool in this process, in a folder of its own; returns its exit code."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(FOLDER)

    def run_in_process(*arguments: str) -> int:
        monkeypatch.setattr(sys, 'argv', list(arguments))
        return run_tool(load_tool(arguments[0]).main)

    return run_in_process


def test_train_and_test(in_process, tmp_path, capsys):
    assert in_process('train.py', TOY, '--seed', '3', '--work-dir', 'work') == 0
    assert 'toy/count: 5' in capsys.readouterr().out
    assert in_process('test.py', TOY, 'work/epoch_2.pth', '--dump', 'out.pkl') == 0
    assert 'toy/count: 5' in capsys.readouterr().out
    assert len(pickle.loads((tmp_path / 'out.pkl').read_bytes())) == 5


def test_resume_is_exact_wherever_a_training_is_killed(tmp_path):
    code, output = run_child(
        *(sys.executable, f'{ROOT}/.dev_scripts/try_resume.py', TOY, 'trial'),
        # While and right after a checkpoint is written, in validation, and later.
        *('--points', '1', '2', '4', '7', '--cfg-options'),
        # What else has a state: averaged weights, gradients that add up, clipping,
        # warm-up of the learning rate.
        *('default_hooks.ema.type=EMAHook', 'default_hooks.ema.momentum=0.1'),
        *('optim_wrapper.accumulative_counts=2', 'param_scheduler.end=6'),
        'optim_wrapper.clip_grad.max_norm=0.5',
        *('param_scheduler.type=LinearLR', 'param_scheduler.by_epoch=False'),
        cwd=tmp_path,
        PYTHONPATH=f'{ROOT}:{FOLDER}',
    )
    assert code == 0, output
    verdicts = [line.split()[-1] for line in output.splitlines() if 'killed ' in line]
    assert verdicts == ['equal'] * 4


@pytest.mark.parametrize(
    ('command', 'message'),
    [
        ('train.py toy_confi.py', 'config toy_confi.py does not exist'),
        (f'test.py {TOY} no.pth', 'checkpoint no.pth does not exist'),
        (
            f'train.py {TOY} --cfg-options model.type=NoModel',
            'NoModel is not in the mmaction::model registry',
        ),
    ],
)
def test_bad_input_is_one_message(in_process, command, message, capsys):
    assert in_process(*command.split()) == 2
    assert f'error: {message}' in capsys.readouterr().err
