"""Configs are read and merged, or refused with a message that helps."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from mmengine.config import Config

from mmtal_mts.apis import load_config, prepare_test_config, prepare_train_config
from mmtal_mts.utils import UserError


@pytest.fixture
def cfg() -> Config:
    return Config(
        dict(
            model=dict(type='ToyModel', levels=[dict(a=1), dict(a=2)]),
            optim_wrapper=dict(type='OptimWrapper', optimizer=dict(type='SGD', lr=0.1)),
            default_hooks=dict(checkpoint=dict(type='CheckpointHook', save_best='mAP')),
            val_cfg=dict(type='ValLoop'),
            val_dataloader=dict(batch_size=1),
            val_evaluator=dict(type='ToyMetric'),
            test_evaluator=dict(type='ToyMetric'),
        ),
        cfg_text='as read from the file',
        filename='some/folder/toy_config.py',
    )


class TestLoad:
    def test_reads_a_config(self, repo_root):
        cfg = load_config(repo_root / 'configs' / '_base_' / 'default_runtime.py')
        assert cfg.default_scope == 'mmaction'
        assert cfg.default_hooks.invalid_loss.type == 'InvalidLossHook'

    @pytest.mark.parametrize(
        ('name', 'message'),
        [
            ('tal-mts_thumos.py', 'does not exist. Did you mean .*tal-mts_thumos14.py'),
            ('zzz.py', 'zzz.py does not exist. Remedy: '),
            ('', 'does not exist'),
            ('config.txt', r'must end with one of \.py'),
        ],
    )
    def test_what_is_no_config_is_refused(self, tmp_path, name, message):
        (tmp_path / 'tal-mts_thumos14.py').write_text('')
        (tmp_path / 'config.txt').write_text('a = 1')
        with pytest.raises(UserError, match=message):
            load_config(tmp_path / name)

    @pytest.mark.parametrize(
        ('text', 'reason'),
        [
            ('model = dict(', 'SyntaxError'),
            ("_base_ = 'missing.py'", 'missing.py'),
            ("custom_imports = dict(imports=['no_such'])", 'no_such'),
        ],
    )
    def test_broken_config_names_file_and_reason(self, tmp_path, text, reason):
        path = tmp_path / 'broken.py'
        path.write_text(text)
        with pytest.raises(UserError) as caught:
            load_config(path)
        assert str(path) in str(caught.value)
        assert reason in str(caught.value)


class TestTrain:
    def test_defaults(self, cfg):
        prepare_train_config(cfg)
        assert cfg.work_dir == str(Path('work_dirs') / 'toy_config')
        assert cfg.launcher == 'none'
        assert cfg.randomness == dict(seed=None)
        assert cfg.get('resume') is None
        assert cfg.val_cfg is not None

    def test_work_dir_of_the_config_is_kept(self, cfg):
        cfg.work_dir = 'mine'
        assert prepare_train_config(cfg).work_dir == 'mine'
        assert prepare_train_config(cfg, work_dir='other').work_dir == 'other'

    def test_no_validate(self, cfg):
        prepare_train_config(cfg, no_validate=True)
        assert cfg.val_cfg is cfg.val_dataloader is cfg.val_evaluator is None
        assert 'save_best' not in cfg.default_hooks.checkpoint

    @pytest.mark.parametrize('seed', [0, 7])
    def test_seed_wins_over_the_config(self, cfg, seed):
        cfg.randomness = dict(seed=1, deterministic=True)
        prepare_train_config(cfg, seed=seed, diff_rank_seed=True)
        wanted = dict(seed=seed, deterministic=True, diff_rank_seed=True)
        assert cfg.randomness == wanted

    def test_cfg_options_reach_into_lists(self, cfg):
        prepare_train_config(
            cfg, cfg_options={'model.levels.1.a': 5, 'optim_wrapper.optimizer.lr': 0.5}
        )
        assert cfg.model.levels == [dict(a=1), dict(a=5)]
        assert cfg.optim_wrapper.optimizer == dict(type='SGD', lr=0.5)

    @pytest.mark.parametrize('key', ['model.levels.9.a', 'model.levels.1.a.b'])
    def test_cfg_options_that_do_not_fit(self, cfg, key):
        with pytest.raises(UserError, match=f'--cfg-options .*{key}'):
            prepare_train_config(cfg, cfg_options={key: 5})

    def test_auto_scale_lr(self, cfg):
        with pytest.raises(UserError, match='Remedy: add auto_scale_lr'):
            prepare_train_config(cfg, auto_scale_lr=True)
        cfg.auto_scale_lr = dict(base_batch_size=4)
        assert prepare_train_config(cfg, auto_scale_lr=True).auto_scale_lr.enable

    def test_amp(self, cfg, monkeypatch):
        monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
        with pytest.raises(UserError, match='needs a CUDA GPU'):
            prepare_train_config(cfg, amp=True)
        monkeypatch.setattr(torch.cuda, 'is_available', lambda: True)
        wrapper = prepare_train_config(cfg, amp=True).optim_wrapper
        assert (wrapper.type, wrapper.loss_scale) == ('AmpOptimWrapper', 'dynamic')
        cfg.optim_wrapper.type = 'MyWrapper'
        with pytest.raises(UserError, match="optim_wrapper.type='MyWrapper'"):
            prepare_train_config(cfg, amp=True)

    def test_resume(self, cfg, tmp_path):
        cfg.load_from = 'pretrained.pth'
        auto = dict(work_dir=str(tmp_path), resume='auto')
        # Without a checkpoint training starts anew.
        prepare_train_config(cfg, **auto)
        assert (cfg.resume, cfg.load_from) == (False, 'pretrained.pth')
        path = tmp_path / 'epoch_3.pth'
        torch.save({}, path)
        prepare_train_config(cfg, **auto)
        assert (cfg.resume, cfg.load_from) == (True, str(path))
        prepare_train_config(cfg, resume='epoch_1.pth')
        assert (cfg.resume, cfg.load_from) == (True, 'epoch_1.pth')


class TestTest:
    def test_checkpoint(self, cfg):
        cfg.resume = True
        prepare_test_config(cfg, checkpoint='a.pth', launcher='slurm')
        assert cfg.load_from == 'a.pth'
        assert not cfg.resume
        assert cfg.launcher == 'slurm'

    def test_dump_is_added_to_the_metrics(self, cfg):
        prepare_test_config(
            cfg,
            checkpoint='a.pth',
            dump='out.pkl',
            cfg_options={'test_evaluator.option': 3},
        )
        assert cfg.test_evaluator == [
            dict(type='ToyMetric', option=3),
            dict(type='DumpResults', out_file_path='out.pkl'),
        ]

    def test_dumps_that_cannot_be_written_are_refused(self, cfg, tmp_path):
        with pytest.raises(UserError, match='--dump out.json must end with .pkl'):
            prepare_test_config(cfg, checkpoint='a.pth', dump='out.json')

    def test_config_without_test(self, cfg):
        cfg.test_evaluator = None
        with pytest.raises(UserError, match='has no test_evaluator'):
            prepare_test_config(cfg, checkpoint='a.pth')
