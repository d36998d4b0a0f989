"""From a command line and a config to a Runner that trains or tests."""

from __future__ import annotations

import atexit
import difflib
import os
import re
from argparse import ArgumentParser
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as torch_dist
from mmaction.registry import RUNNERS
from mmengine.config import Config, DictAction
from mmengine.runner import Runner

from ..evaluation.metrics import RAW_FILE
from ..utils import UserError, latest_checkpoint
from ..utils.checkpoint import check_checkpoint

_CONFIG_SUFFIXES = ('.py', '.json', '.yml', '.yaml')
# Replaces spaces that MMEngine would remove; no argument can contain it.
_SPACE = '\0'


class CfgOptionsAction(DictAction):
    """``--cfg-options KEY=VALUE ...`` as MMEngine reads it, but spaces stay.

    MMEngine removes every space of a value, so that ``data_root='my data/'`` would name
    another folder. Here only those beside brackets and commas of a list go. What is not
    ``KEY=VALUE`` ends the program with a message instead of a traceback.
    """

    @staticmethod
    def _parse_iterable(val: str) -> Any:
        text = val.strip().strip('\'"').strip()
        if ',' in text or text[:1] in ('[', '('):
            text = re.sub(r' *([,\[\]()]) *', r'\1', text)
        return _restore(DictAction._parse_iterable(text.replace(' ', _SPACE)))

    def __call__(self, parser, namespace, values, option_string=None) -> None:
        """Adds the settings to the dict of the option; see :mod:`argparse`."""
        for item in values:
            key, equals, _ = item.partition('=')
            if not key.strip() or not equals:
                parser.error(
                    f'argument {option_string}: {item!r} is not KEY=VALUE. Remedy: no '
                    'spaces around "="; a value with spaces in quotes: KEY="two words"'
                )
        try:
            super().__call__(parser, namespace, values, option_string)
        except AssertionError as error:
            parser.error(f'argument {option_string}: {error}')


def _restore(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return type(value)(map(_restore, value))
    return value.replace(_SPACE, ' ') if isinstance(value, str) else value


def parse_runner_args(parser: ArgumentParser, example: str) -> dict[str, Any]:
    """Parses the command line of a tool that runs a config, by a launcher or alone.

    Args:
        parser: With the options of the tool.
        example: A setting that ``--cfg-options`` may override.

    Returns:
        The options, with the merged config in place of its path and settings. The
        option of torch's launcher, ``--local_rank``, goes to the environment.
    """
    add = parser.add_argument
    add('--work-dir', help='folder for logs and checkpoints')
    text = f'override settings of the config, e.g. {example}'
    options = dict(nargs='+', action=CfgOptionsAction, metavar='KEY=VALUE', help=text)
    add('--cfg-options', **options)
    add('--launcher', choices=['none', 'pytorch', 'slurm', 'mpi'], default='none')
    add('--local_rank', '--local-rank', type=int, default=0)
    args = vars(parser.parse_args())
    os.environ.setdefault('LOCAL_RANK', str(args.pop('local_rank')))
    return args | dict(cfg=load_config(args.pop('config'), args.pop('cfg_options')))


def load_config(path: str | Path, cfg_options: Mapping | None = None) -> Config:
    """Reads a config file.

    Args:
        path: Config file.
        cfg_options: Settings that override the config, by dotted name.

    Raises:
        UserError: It is missing, of a wrong kind or does not parse, or the settings do
            not fit.
    """
    path = Path(path)
    if not path.is_file():
        folder = path.parent if path.parent.is_dir() else Path('configs')
        known = {found.name: str(found) for found in folder.rglob('*.py')}
        close = [known[name] for name in difflib.get_close_matches(path.name, known)]
        advice = 'Remedy: give the path of a file, e.g. one of configs/*/*.py'
        advice = f'Did you mean {" or ".join(close)}?' if close else advice
        raise UserError(f'config {path} does not exist. {advice}')
    if path.suffix not in _CONFIG_SUFFIXES:
        raise UserError(
            f'config {path} must end with one of {", ".join(_CONFIG_SUFFIXES)}'
        )
    try:
        cfg = Config.fromfile(str(path))
    except Exception as error:
        raise UserError(
            f'config {path} cannot be read: {type(error).__name__}: {error}'
        ) from error
    try:
        cfg.merge_from_dict(dict(cfg_options or {}))
    except (KeyError, TypeError, AttributeError, AssertionError) as error:
        raise UserError(
            f'--cfg-options {cfg_options} does not fit config {path}: {error}'
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
) -> Config:
    """Merges the options of ``tools/train.py`` into a config, in place.

    Args:
        cfg: The config.
        work_dir: Folder for logs and checkpoints. By default the config's, or
            ``work_dirs/CONFIG_NAME``.
        resume: Checkpoint to resume from, or ``'auto'`` for the last one of the work
            dir; without one, training starts from the beginning.
        amp: Train in mixed precision; needs a GPU.
        no_validate: Train without validation.
        auto_scale_lr: Scale the learning rate with the total batch size.
        seed: Random seed.
        diff_rank_seed: Give each process another seed.
        deterministic: Use deterministic algorithms.
        launcher: ``'none'``, ``'pytorch'``, ``'slurm'`` or ``'mpi'``.

    Raises:
        UserError: An option does not fit the config or the machine.
    """
    _merge_common(cfg, work_dir, launcher)
    if no_validate:
        cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
        # Without validation there is no metric to choose the best checkpoint by.
        (cfg.get('default_hooks', {}).get('checkpoint') or {}).pop('save_best', None)
    if amp:
        kind = cfg.optim_wrapper.get('type', 'OptimWrapper')
        if kind not in ('OptimWrapper', 'AmpOptimWrapper'):
            raise UserError(
                f'--amp does not work with optim_wrapper.type={kind!r} of config '
                f'{cfg.filename}. Remedy: use OptimWrapper, or leave --amp out'
            )
        cfg.optim_wrapper.type = 'AmpOptimWrapper'
        cfg.optim_wrapper.setdefault('loss_scale', 'dynamic')
    mixed = (cfg.get('optim_wrapper') or {}).get('type') == 'AmpOptimWrapper'
    if mixed and not torch.cuda.is_available():
        raise UserError(
            'training in mixed precision (AmpOptimWrapper) needs a CUDA GPU, and torch '
            "sees none. Remedy: leave --amp out, or optim_wrapper.type='OptimWrapper'"
        )
    if auto_scale_lr:
        if 'auto_scale_lr' not in cfg:
            raise UserError(
                f'--auto-scale-lr: config {cfg.filename} has no auto_scale_lr. '
                'Remedy: add auto_scale_lr = dict(base_batch_size=...)'
            )
        cfg.auto_scale_lr.enable = True
    # The command line wins over the config, setting by setting.
    given = {} if seed is None else dict(seed=seed)
    flags = dict(diff_rank_seed=diff_rank_seed, deterministic=deterministic)
    given.update({name: True for name, is_set in flags.items() if is_set})
    cfg.randomness = dict(seed=None) | dict(cfg.get('randomness') or {}) | given
    if resume == 'auto':
        resume = latest_checkpoint(cfg.work_dir)
        cfg.resume = False
        if resume is None:
            print(f'--resume: no checkpoint in {cfg.work_dir}, training starts at 0')
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

    Returns:
        The same config.

    Raises:
        UserError: An option does not fit the config or the machine.
    """
    _merge_common(cfg, work_dir, launcher)
    if cfg.get('test_evaluator') is None:
        raise UserError(
            f'config {cfg.filename} has no test_evaluator, so it cannot be tested. '
            'Remedy: add test_dataloader, test_cfg and test_evaluator'
        )
    cfg.resume, cfg.load_from = False, checkpoint
    metrics = []
    if dump is not None:
        if not dump.endswith(('.pkl', '.pickle')):
            raise UserError(f'--dump {dump} must end with .pkl or .pickle')
        metrics.append(dict(type='DumpResults', out_file_path=dump))
    if dump_raw is not None:
        if Path(dump_raw, RAW_FILE).is_file():
            raise UserError(
                f'--dump-raw {dump_raw} holds the raw outputs of another run. Remedy: '
                'choose another folder, or remove this one'
            )
        cfg.model.keep_raw = True
        metrics.append(dict(type='RawOutputWriter', folder=dump_raw))
    if metrics:
        known = cfg.test_evaluator
        known = known if isinstance(known, (list, tuple)) else [known]
        cfg.test_evaluator = [*known, *metrics]
    return cfg


def _merge_common(cfg: Config, work_dir: str | None, launcher: str) -> None:
    default = os.path.join('work_dirs', Path(cfg.filename or 'config').stem)
    cfg.work_dir = work_dir or cfg.get('work_dir') or default
    cfg.launcher = launcher


def build_runner(cfg: Config) -> Runner:
    """Builds the runner of a complete config, ready for the hardware that is there."""
    if cfg.get('launcher', 'none') != 'none' and not torch.cuda.is_available():
        prepare_cpu_processes(cfg)
    return RUNNERS.build(cfg) if 'runner_type' in cfg else Runner.from_cfg(cfg)


def train(cfg: Config) -> Runner:
    """Trains a config of :func:`.prepare_train_config`.

    Raises:
        UserError: The checkpoint to resume from is not of this model.
    """
    runner = build_runner(cfg)
    if cfg.get('resume') and cfg.get('load_from'):
        check_checkpoint(runner.model, cfg.load_from, resume=True)
    runner.train()
    return runner


def test(cfg: Config) -> dict[str, float]:
    """Tests the checkpoint of a config of :func:`.prepare_test_config`.

    Returns:
        The metrics by name.

    Raises:
        UserError: The checkpoint is not of this model.
    """
    runner = build_runner(cfg)
    check_checkpoint(runner.model, cfg.load_from)
    return runner.test()


def prepare_cpu_processes(cfg: Config) -> None:
    """Makes a distributed config run on CPUs, in place.

    MMEngine assumes one GPU per process: it sets the CUDA device and hands its
    number to the model wrapper. Without CUDA the process group is set up here, with
    the gloo backend, and the model is wrapped without a device.

    Raises:
        UserError: The launcher only works with GPUs.
    """
    if cfg.launcher != 'pytorch':
        raise UserError(
            f'--launcher {cfg.launcher} needs CUDA GPUs, and torch sees none. '
            'Remedy: --launcher pytorch (tools/dist_train.sh, tools/dist_test.sh) '
            'works on CPUs as well'
        )
    settings = cfg.get('env_cfg', {}).get('dist_cfg', {})
    backend = settings.get('backend', 'nccl').replace('nccl', 'gloo')
    cfg.merge_from_dict({'env_cfg.dist_cfg.backend': backend})
    cfg.model_wrapper_cfg = {
        'type': 'MMDistributedDataParallel',
        'broadcast_buffers': False,
        'find_unused_parameters': cfg.get('find_unused_parameters', False),
        **(cfg.get('model_wrapper_cfg') or {}),
        'device_ids': None,
    }
    if not torch_dist.is_initialized():
        # How long to wait for other processes, in seconds.
        seconds = settings.get('timeout')
        timeout = None if seconds is None else timedelta(seconds=seconds)
        try:
            torch_dist.init_process_group(backend=backend, timeout=timeout)
        except ValueError as error:
            raise UserError(
                f'--launcher pytorch: {error}. Remedy: start with '
                'tools/dist_train.sh, tools/dist_test.sh or torchrun, which set the '
                'environment'
            ) from error
        # Gloo's threads must end before the interpreter does, or it may abort.
        atexit.register(
            lambda: torch_dist.is_initialized() and torch_dist.destroy_process_group()
        )
    os.environ.setdefault('LOCAL_RANK', os.environ.get('RANK', '0'))
