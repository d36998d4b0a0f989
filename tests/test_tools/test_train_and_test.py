"""The command line tools, run as a person runs them, on a toy model."""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path

import pytest

from mmtal_mts.utils import run_tool

TOY = 'toy_config.py'


@pytest.fixture
def run(repo_root, child_env, tmp_path):
    """Runs a tool in an empty folder; returns its exit code and its output."""
    toy = repo_root / 'tests' / 'data' / 'toy_project'
    config = tmp_path / TOY
    base = repo_root / 'configs' / '_base_' / 'default_runtime.py'
    lines = (toy / TOY).read_text().splitlines()[1:]
    config.write_text('\n'.join([f'_base_ = {str(base)!r}', *lines]) + '\n')
    child_env['PYTHONPATH'] += f':{toy}'

    def run_command(*command: str) -> tuple[int, str]:
        result = subprocess.run(
            command,
            cwd=tmp_path,
            env=child_env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=180,
        )
        return result.returncode, result.stdout

    return run_command


@pytest.fixture
def in_process(run, load_tool, monkeypatch, tmp_path, repo_root):
    """Runs a tool in this process, in the same folder; returns its exit code."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(repo_root / 'tests/data/toy_project'))

    def run_in_process(*arguments: str) -> int:
        monkeypatch.setattr(sys, 'argv', list(arguments))
        return run_tool(load_tool(arguments[0]).main)

    return run_in_process


@pytest.fixture
def tools(repo_root) -> Path:
    return repo_root / 'tools'


def test_train_and_test(in_process, tmp_path, capsys):
    assert in_process('train.py', TOY, '--seed', '3', '--work-dir', 'work') == 0
    assert 'toy/count: 5' in capsys.readouterr().out
    checkpoint = tmp_path / 'work/epoch_2.pth'
    assert in_process('test.py', TOY, str(checkpoint), '--dump', 'out.pkl') == 0
    assert 'toy/count: 5' in capsys.readouterr().out
    assert len(pickle.loads((tmp_path / 'out.pkl').read_bytes())) == 5


def test_resume_is_exact_wherever_a_training_is_killed(run, tools):
    # Together with what else has a state: averaged weights, gradients that add up,
    # clipping, warm-up of the learning rate.
    code, output = run(
        *(
            sys.executable,
            str(tools.parent / '.dev_scripts/try_resume.py'),
            TOY,
            'trial',
        ),
        # While and right after a checkpoint is written, in validation, and later.
        *('--points', '1', '2', '4', '7'),
        *('--cfg-options', 'optim_wrapper.accumulative_counts=2'),
        'optim_wrapper.clip_grad.max_norm=0.5',
        *('default_hooks.ema.type=EMAHook', 'default_hooks.ema.momentum=0.1'),
        *('param_scheduler.type=LinearLR', 'param_scheduler.by_epoch=False'),
        'param_scheduler.end=6',
    )
    assert code == 0, output
    verdicts = [line.split()[-1] for line in output.splitlines() if 'killed ' in line]
    assert verdicts == ['equal'] * 4


def test_a_lost_process_ends_the_job(run, tools):
    code, output = run(
        *('bash', str(tools / 'dist_train.sh'), TOY, '2', '--cfg-options'),
        'default_hooks.loss_of_a_peer.type=LosePeerHook',
    )
    assert code != 0
    assert 'another process of the job was lost' in output or 'Signal 9' in output


def test_two_processes_without_gpu(run, tools, tmp_path):
    code, output = run(
        *('bash', str(tools / 'dist_train.sh'), TOY, '2'),
        *('--work-dir', 'work', '--cfg-options', 'train_cfg.max_epochs=1'),
    )
    assert code == 0, output
    # Each of 5 samples counts once, though 2 processes share them.
    assert 'toy/count: 5' in output
    assert (tmp_path / 'work' / 'epoch_1.pth').is_file()


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (('train.py', 'toy_confi.py'), 'error: config toy_confi.py does not'),
        (
            ('train.py', TOY, '--cfg-options', 'train_dataloader.dataset.size=9'),
            'error: clip 8 of toy.json cannot be read: too large',
        ),
        (('test.py', TOY, 'no.pth'), 'error: checkpoint no.pth does not exist'),
        (
            ('train.py', TOY, '--cfg-options', 'model.type=NoModel'),
            'error: NoModel is not in the mmaction::model registry',
        ),
    ],
)
def test_bad_input_is_one_message(in_process, arguments, message, capsys):
    assert in_process(*arguments) == 2
    assert message in capsys.readouterr().err
