"""Reads a config and merges the options of the command line into it."""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping
from pathlib import Path

import torch
from mmengine.config import Config

from ..evaluation.metrics.raw_outputs import is_raw_folder
from ..utils import UserError, latest_checkpoint

_CONFIG_SUFFIXES = ('.py', '.json', '.yml', '.yaml')


def load_config(path: str | Path) -> Config:
    """Reads a config file.

    Raises:
        UserError: It is missing, of a wrong kind or does not parse.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f'config {path} does not exist.{_similar(path)}')
    if path.suffix not in _CONFIG_SUFFIXES:
        raise UserError(
            f'config {path} must end with one of {", ".join(_CONFIG_SUFFIXES)}'
        )
    try:
        return Config.fromfile(str(path))
    except Exception as error:
        raise UserError(
            f'config {path} cannot be read: {type(error).__name__}: {error}'
        ) from error


def _similar(path: Path) -> str:
    """Suggests configs of the same folder, or of ``configs/``, with close names."""
    folder = path.parent if path.parent.is_dir() else Path('configs')
    known = {found.name: str(found) for found in folder.rglob('*.py')}
    close = difflib.get_close_matches(path.name, known, n=3)
    if not close:
        return ' Remedy: give the path of a file, e.g. one of configs/*/*.py'
    return ' Did you mean ' + ' or '.join(known[name] for name in close) + '?'


def merge_options(cfg: Config, cfg_options: Mapping | None) -> Config:
    """Merges ``--cfg-options``, settings by dotted name, into a config, in place.

    Raises:
        UserError: They do not fit the config.
    """
    try:
        cfg.merge_from_dict(dict(cfg_options or {}))
    except (KeyError, TypeError, AttributeError, AssertionError) as error:
        raise UserError(
            f'--cfg-options {dict(cfg_options)} does not fit config '
            f'{cfg.filename}: {error}'
        ) from error
    return cfg


def prepare_train_config(
    cfg: Config,
    *,
    work_dir: str | None = None,
    resume: str | None = None,
    amp: bool = False,
    no_validate: bool = False,
    auto_scale_lr: bool = False,
    seed: int | None = None,
    diff_rank_seed: bool = False,
    deterministic: bool = False,
    launcher: str = 'none',
    cfg_options: Mapping | None = None,
) -> Config:
    """Merges the options of ``tools/train.py`` into a config, in place.

    Args:
        cfg: The config.
        work_dir: Folder for logs and checkpoints. By default the config's, or
            ``work_dirs/CONFIG_NAME``.
        resume: Checkpoint to resume from, or ``'auto'`` for the last one of the work
            dir (which starts anew if there is none).
        amp: Train in mixed precision; needs a GPU.
        no_validate: Train without validation.
        auto_scale_lr: Scale the learning rate with the total batch size.
        seed: Random seed.
        diff_rank_seed: Give each process another seed.
        deterministic: Use deterministic algorithms.
        launcher: ``'none'``, ``'pytorch'``, ``'slurm'`` or ``'mpi'``.
        cfg_options: Settings that override the config, by dotted name.

    Raises:
        UserError: An option does not fit the config or the machine.
    """
    _merge_common(cfg, work_dir, launcher, cfg_options)
    if no_validate:
        cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
        # Without validation there is no metric to choose the best checkpoint by.
        (cfg.get('default_hooks', {}).get('checkpoint') or {}).pop('save_best', None)
    if amp:
        _switch_amp_on(cfg)
    if auto_scale_lr:
        if 'auto_scale_lr' not in cfg:
            raise UserError(
                f'--auto-scale-lr: config {cfg.filename} has no auto_scale_lr. '
                'Remedy: add auto_scale_lr = dict(base_batch_size=...)'
            )
        cfg.auto_scale_lr.enable = True
    # The command line wins over the config, setting by setting.
    randomness = dict(cfg.get('randomness') or {})
    if seed is not None or 'seed' not in randomness:
        randomness['seed'] = seed
    flags = dict(diff_rank_seed=diff_rank_seed, deterministic=deterministic)
    randomness.update({name: True for name, is_set in flags.items() if is_set})
    cfg.randomness = randomness
    if resume == 'auto':
        resume = latest_checkpoint(cfg.work_dir)
        cfg.resume = False
        if resume is None:
            print(f'--resume: no checkpoint in {cfg.work_dir}, training starts anew')
    if resume is not None:
        cfg.resume, cfg.load_from = True, resume
    return cfg


def prepare_test_config(
    cfg: Config,
    *,
    checkpoint: str,
    work_dir: str | None = None,
    dump: str | None = None,
    dump_raw: str | None = None,
    launcher: str = 'none',
    cfg_options: Mapping | None = None,
) -> Config:
    """Merges the options of ``tools/test.py`` into a config, in place.

    Args:
        cfg: The config.
        checkpoint: Checkpoint to test.
        work_dir: Folder for logs. By default the config's, or
            ``work_dirs/CONFIG_NAME``.
        dump: Pickle file for the raw predictions of all windows, or None.
        dump_raw: Folder for the raw outputs of the model in each window, which
            ``fuse_streams.py`` takes, or None.
        launcher: ``'none'``, ``'pytorch'``, ``'slurm'`` or ``'mpi'``.
        cfg_options: Settings that override the config, by dotted name.

    Returns:
        The same config.

    Raises:
        UserError: An option does not fit the config or the machine.
    """
    _merge_common(cfg, work_dir, launcher, cfg_options)
    metrics = cfg.get('test_evaluator')
    if metrics is None:
        raise UserError(
            f'config {cfg.filename} has no test_evaluator, so it cannot be tested. '
            'Remedy: add test_dataloader, test_cfg and test_evaluator'
        )
    metrics = [*metrics] if isinstance(metrics, (list, tuple)) else [metrics]
    cfg.resume, cfg.load_from = False, checkpoint
    if dump is not None:
        if not dump.endswith(('.pkl', '.pickle')):
            raise UserError(f'--dump {dump} must end with .pkl or .pickle')
        metrics.append(dict(type='DumpResults', out_file_path=dump))
    if dump_raw is not None:
        if is_raw_folder(dump_raw):
            raise UserError(
                f'--dump-raw {dump_raw} holds the raw outputs of another run. Remedy: '
                'choose another folder, or remove this one'
            )
        cfg.model.keep_raw = True
        metrics.append(dict(type='RawOutputWriter', folder=dump_raw))
    if dump is not None or dump_raw is not None:
        cfg.test_evaluator = metrics
    return cfg


def _merge_common(
    cfg: Config, work_dir: str | None, launcher: str, cfg_options: Mapping | None
) -> None:
    merge_options(cfg, cfg_options)
    if work_dir is not None:
        cfg.work_dir = work_dir
    elif cfg.get('work_dir') is None:
        cfg.work_dir = os.path.join('work_dirs', Path(cfg.filename or 'config').stem)
    cfg.launcher = launcher


def _switch_amp_on(cfg: Config) -> None:
    """Trains in mixed precision with a loss scale that adapts itself."""
    kind = cfg.optim_wrapper.get('type', 'OptimWrapper')
    if kind not in ('OptimWrapper', 'AmpOptimWrapper'):
        raise UserError(
            f'--amp does not work with optim_wrapper.type={kind!r} of config '
            f'{cfg.filename}. Remedy: use OptimWrapper, or leave --amp out'
        )
    if not torch.cuda.is_available():
        raise UserError(
            '--amp needs a CUDA GPU, and torch sees none. Remedy: leave --amp out'
        )
    cfg.optim_wrapper.type = 'AmpOptimWrapper'
    cfg.optim_wrapper.setdefault('loss_scale', 'dynamic')
