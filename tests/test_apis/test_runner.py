"""Configs are read and merged, or refused with a message that helps."""

from __future__ import annotations

import re
from argparse import ArgumentParser
from pathlib import Path

import pytest
import torch
from mmengine.config import Config

from mmtal_mts.apis import (
    CfgOptionsAction,
    load_config,
    prepare_test_config,
    prepare_train_config,
)
from mmtal_mts.apis.runner import prepare_cpu_processes
from mmtal_mts.utils import UserError


@pytest.fixture
def cfg() -> Config:
    return Config(
        dict(
            optim_wrapper=dict(type='OptimWrapper'),
            default_hooks=dict(checkpoint=dict(type='CheckpointHook', save_best='mAP')),
            **dict.fromkeys(('val_cfg', 'val_dataloader', 'val_evaluator'), dict(a=1)),
            test_evaluator=dict(type='ToyMetric'),
        ),
        cfg_text='as read from the file',
        filename='some/folder/toy_config.py',
    )


def parse(*arguments):
    parser = ArgumentParser()
    parser.add_argument('--cfg-options', nargs='+', action=CfgOptionsAction)
    return parser.parse_args(['--cfg-options', *arguments]).cfg_options


@pytest.mark.parametrize(
    ('text', 'value'),
    [
        ('my data/a b.json', 'my data/a b.json'),
        ('"my data/"', 'my data/'),
        ('runs/a (1)/b', 'runs/a (1)/b'),
        ('runs/a [1]', 'runs/a [1]'),
        ('a=b', 'a=b'),
        ('', ''),
        ('1e-3', 0.001),
        (' 7 ', 7),
        ('true', True),
        ('None', None),
        ('1,2', [1, 2]),
        ('[1, 2]', [1, 2]),
        ('"[1, 2]"', [1, 2]),
        ('( 1 , 2 )', (1, 2)),
        ('[(1, 2), [walk, jump in place]]', [(1, 2), ['walk', 'jump in place']]),
        ('wave one hand, run', ['wave one hand', 'run']),
    ],
)
def test_values_of_cfg_options(text, value):
    parsed = parse(f'a.b={text}')
    assert parsed == {'a.b': value}
    assert type(parsed['a.b']) is type(value)
    more = parse('a=1', '--cfg-options', 'b=x y', f'a={text}')
    assert more == {'a': value, 'b': 'x y'}


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        ('train.lr', "'train.lr' is not KEY=VALUE"),
        ('=3', "'=3' is not KEY=VALUE"),
        ('a = 3', "'a' is not KEY=VALUE"),
        ('a=[1,2', 'rackets'),
    ],
)
def test_what_is_no_setting_is_named(capsys, arguments, message):
    with pytest.raises(SystemExit) as exit_:
        parse(*arguments.split())
    assert exit_.value.code == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ('name', 'text', 'message'),
    [
        ('tal.py', None, 'does not exist. Did you mean .*tal-mts.py'),
        ('zzz.py', None, 'zzz.py does not exist. Remedy: '),
        ('', None, 'does not exist'),
        ('config.txt', 'a = 1', r'must end with one of \.py'),
        ('broken.py', 'model = dict(', 'broken.py .*SyntaxError'),
        ('broken.py', "_base_ = 'missing.py'", 'broken.py .*missing.py'),
        ('broken.py', "custom_imports = dict(imports=['no_such'])", '.py .*no_such'),
    ],
)
def test_what_is_no_config_is_refused(tmp_path, name, text, message):
    (tmp_path / 'tal-mts.py').write_text('')
    if text is not None:
        (tmp_path / name).write_text(text)
    with pytest.raises(UserError) as caught:
        load_config(tmp_path / name)
    assert re.search(message, str(caught.value), re.DOTALL)
    assert str(tmp_path / name) in str(caught.value)


def test_cfg_options_reach_into_lists(tmp_path):
    path = tmp_path / 'config.py'
    path.write_text("model = dict(type='ToyModel', levels=[dict(a=1), dict(a=2)])")
    cfg = load_config(path, {'model.levels.1.a': 5, 'optim_wrapper.optimizer.lr': 0.5})
    assert cfg.model == dict(type='ToyModel', levels=[dict(a=1), dict(a=5)])
    assert cfg.optim_wrapper.optimizer == dict(lr=0.5)
    for key in ('model.levels.9.a', 'model.levels.1.a.b'):
        with pytest.raises(UserError, match=f'--cfg-options .*{key}'):
            load_config(path, {key: 5})


def test_what_is_not_given_is_as_in_the_config(cfg):
    prepare_train_config(cfg)
    assert cfg.work_dir == str(Path('work_dirs') / 'toy_config')
    assert cfg.launcher == 'none'
    assert cfg.randomness == dict(seed=None)
    assert cfg.get('resume') is None
    assert cfg.val_cfg is not None
    cfg.work_dir = 'mine'
    assert prepare_train_config(cfg).work_dir == 'mine'
    assert prepare_train_config(cfg, work_dir='other').work_dir == 'other'


@pytest.mark.parametrize('seed', [0, 7])
def test_options_win_over_the_config(cfg, seed):
    cfg.randomness = dict(seed=1, deterministic=True)
    options = dict(seed=seed, diff_rank_seed=True, no_validate=True)
    prepare_train_config(cfg, **options)
    assert cfg.randomness == dict(seed=seed, deterministic=True, diff_rank_seed=True)
    assert cfg.val_cfg is cfg.val_dataloader is cfg.val_evaluator is None
    assert 'save_best' not in cfg.default_hooks.checkpoint


def test_amp_and_auto_scale_lr(cfg, monkeypatch):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    with pytest.raises(UserError, match='needs a CUDA GPU'):
        prepare_train_config(cfg, amp=True)
    # The config asks for it by itself.
    cfg.optim_wrapper = dict(type='AmpOptimWrapper', dtype='bfloat16')
    with pytest.raises(UserError, match='AmpOptimWrapper.* needs a CUDA GPU'):
        prepare_train_config(cfg)
    cfg.optim_wrapper = dict(type='OptimWrapper')
    with pytest.raises(UserError, match='Remedy: add auto_scale_lr'):
        prepare_train_config(cfg, auto_scale_lr=True)
    cfg.auto_scale_lr = dict(base_batch_size=4)
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: True)
    prepare_train_config(cfg, amp=True, auto_scale_lr=True)
    assert cfg.auto_scale_lr.enable
    wrapper = cfg.optim_wrapper
    assert (wrapper.type, wrapper.loss_scale) == ('AmpOptimWrapper', 'dynamic')
    wrapper.type = 'MyWrapper'
    with pytest.raises(UserError, match="optim_wrapper.type='MyWrapper'"):
        prepare_train_config(cfg, amp=True)


def test_resume(cfg, tmp_path):
    cfg.load_from = 'pretrained.pth'
    auto = dict(work_dir=str(tmp_path), resume='auto')
    # Without a checkpoint training starts at the beginning.
    prepare_train_config(cfg, **auto)
    assert (cfg.resume, cfg.load_from) == (False, 'pretrained.pth')
    path = tmp_path / 'epoch_3.pth'
    torch.save({}, path)
    prepare_train_config(cfg, **auto)
    assert (cfg.resume, cfg.load_from) == (True, str(path))
    prepare_train_config(cfg, resume='epoch_1.pth')
    assert (cfg.resume, cfg.load_from) == (True, 'epoch_1.pth')


def test_a_test_loads_its_checkpoint_and_dumps_on_request(cfg):
    cfg.resume = True
    prepare_test_config(cfg, checkpoint='a.pth', launcher='slurm', dump='out.pkl')
    assert (cfg.load_from, cfg.resume, cfg.launcher) == ('a.pth', False, 'slurm')
    dumping = dict(type='DumpResults', out_file_path='out.pkl')
    assert cfg.test_evaluator == [dict(type='ToyMetric'), dumping]
    with pytest.raises(UserError, match='--dump out.json must end with .pkl'):
        prepare_test_config(cfg, checkpoint='a.pth', dump='out.json')
    cfg.test_evaluator = None
    with pytest.raises(UserError, match='has no test_evaluator'):
        prepare_test_config(cfg, checkpoint='a.pth')


def test_processes_that_cannot_start_name_the_scripts_that_start_them(cfg, monkeypatch):
    scripts = 'tools/dist_train.sh, tools/dist_test.sh'
    cfg.launcher = 'slurm'
    with pytest.raises(UserError, match=f'--launcher slurm needs CUDA.*{scripts}'):
        prepare_cpu_processes(cfg)
    cfg.launcher = 'pytorch'
    monkeypatch.delenv('RANK', raising=False)
    with pytest.raises(UserError, match=f'--launcher pytorch: .*RANK.*{scripts}'):
        prepare_cpu_processes(cfg)
