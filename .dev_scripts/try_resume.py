"""Kills a training at every point of an epoch boundary and lets it go on.

Each time, the weights at the end, the state of the optimizer and everything else in the
last checkpoint must equal those of a training that was never interrupted, bit for bit.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

try:
    import torch
    from mmengine.hooks import Hook
    from mmengine.runner import Runner

    from mmtal_mts.apis import (
        CfgOptionsAction,
        build_runner,
        load_config,
        prepare_train_config,
    )
    from mmtal_mts.utils import UserError, run_tool
    from mmtal_mts.utils.checkpoint import load_checkpoint
except ImportError as error:
    sys.exit(f'error: {error}')

# What a finished checkpoint says about time and machine.
_EXPECTED_TO_DIFFER = ('meta', 'message_hub')


BEFORE = 'before the checkpoint is written'
WHILE = 'while the checkpoint is written'
BETWEEN = 'between the checkpoint and the note which is the last'
AFTER = 'after the checkpoint'
VALIDATION = 'at the start of validation'
VALIDATED = 'after validation'
NEXT_EPOCH = 'at the start of the next epoch'
NEXT_STEP = 'after the first step of the next epoch'
POINTS = (
    *(BEFORE, WHILE, BETWEEN, AFTER),
    *(VALIDATION, VALIDATED, NEXT_EPOCH, NEXT_STEP),
)


class KillHook(Hook):
    """Kills this process at one point of the boundary after an epoch.

    Args:
        point: One of ``POINTS``.
        epoch: Which epoch, from 1.
    """

    # After the hook that writes checkpoints.
    priority = 'LOWEST'

    def __init__(self, point: str, epoch: int) -> None:
        self.point = point
        self.epoch = epoch
        self._note: str | None = None

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """The state is complete and not written yet."""
        note = Path(runner.work_dir) / 'last_checkpoint'
        self._note = note.read_text() if note.exists() else None
        self._kill_at(BEFORE, runner.epoch + 1)

    def after_train_epoch(self, runner: Runner) -> None:
        """The checkpoint is written; undoes what an earlier kill had prevented."""
        epoch, work_dir = runner.epoch + 1, Path(runner.work_dir)
        if epoch == self.epoch and self.point in (WHILE, BETWEEN):
            if self.point == WHILE:
                checkpoint = work_dir / f'epoch_{epoch}.pth'
                os.truncate(checkpoint, checkpoint.stat().st_size // 2)
            note = work_dir / 'last_checkpoint'
            note.unlink()
            if self._note is not None:
                note.write_text(self._note)
            self._kill_at(self.point, epoch)
        self._kill_at(AFTER, epoch)

    def before_val_epoch(self, runner: Runner) -> None:
        """Validation begins."""
        self._kill_at(VALIDATION, runner.epoch)

    def after_val_epoch(self, runner: Runner, metrics: dict | None = None) -> None:
        """Validation is done."""
        self._kill_at(VALIDATED, runner.epoch)

    def before_train_epoch(self, runner: Runner) -> None:
        """The next epoch begins."""
        self._kill_at(NEXT_EPOCH, runner.epoch)

    def after_train_iter(self, runner: Runner, *args: Any, **kwargs: Any) -> None:
        """The next epoch has changed the weights."""
        self._kill_at(NEXT_STEP, runner.epoch)

    def _kill_at(self, point: str, epoch: int) -> None:
        if point == self.point and epoch == self.epoch:
            os.kill(os.getpid(), signal.SIGKILL)


def in_child(function: Callable[[], None], log: Path) -> int:
    """Runs a function in a forked process, its output in a file.

    Returns:
        Its exit code, or minus the signal that killed it.
    """
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            with open(log, 'a', encoding='utf-8') as file:
                os.dup2(file.fileno(), 1)
                os.dup2(file.fileno(), 2)
            code = run_tool(function)
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


class Trial:
    """Trainings of one config.

    Args:
        config: Config file.
        out: Folder for their work dirs.
        seed: Seed of the training.
        cfg_options: Settings that override the config.
    """

    def __init__(
        self, config: str, out: Path, seed: int, cfg_options: Mapping | None
    ) -> None:
        self.config, self.out = config, out
        self.seed, self.cfg_options = seed, cfg_options

    def train(self, name: str, hook: Hook | None = None) -> int:
        """Trains or goes on.

        Args:
            name: Of the work dir.
            hook: Kills it, if given.

        Returns:
            How it ended, see :func:`in_child`.
        """

        def run() -> None:
            cfg = prepare_train_config(
                load_config(self.config, self.cfg_options),
                work_dir=str(self.out / name),
                resume='auto',
                seed=self.seed,
            )
            runner = build_runner(cfg)
            if hook is not None:
                runner.register_hook(hook)
            runner.train()

        return in_child(run, self.out / f'{name}.log')

    def result(self, name: str) -> dict[str, Any]:
        """The last checkpoint without what may differ."""
        path = (self.out / name / 'last_checkpoint').read_text(encoding='utf-8')
        checkpoint = load_checkpoint(path.strip())
        kept = {k: v for k, v in checkpoint.items() if k not in _EXPECTED_TO_DIFFER}
        return dict(kept, epoch=checkpoint['meta']['epoch'])


def differences(first: Any, second: Any, name: str = '') -> list[str]:
    """Names the tensors and values that are not exactly equal."""
    if isinstance(first, Mapping) and isinstance(second, Mapping):
        found = [f'{name}.{key}' for key in set(first) ^ set(second)]
        for key in set(first) & set(second):
            found += differences(first[key], second[key], f'{name}.{key}')
        return found
    if isinstance(first, torch.Tensor) and isinstance(second, torch.Tensor):
        return [] if torch.equal(first, second) else [name]
    if isinstance(first, Sequence) and not isinstance(first, str):
        if len(first) != len(second):
            return [name]
        pairs = enumerate(zip(first, second, strict=True))
        return [d for i, (a, b) in pairs for d in differences(a, b, f'{name}.{i}')]
    return [] if first == second else [name]


def parse_args() -> argparse.Namespace:
    """Parses the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', help='config that trains quickly, 2 epochs or more')
    parser.add_argument('out', type=Path, help='new folder for the trainings')
    parser.add_argument('--epoch', type=int, default=1, help='kill after this one')
    parser.add_argument(
        '--points',
        type=int,
        nargs='+',
        choices=range(len(POINTS)),
        default=range(len(POINTS)),
        metavar='N',
        help='only some: '
        + ', '.join(f'{number} {point}' for number, point in enumerate(POINTS)),
    )
    parser.add_argument('--seed', type=int, default=0, help='seed of the training')
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=CfgOptionsAction,
        metavar='KEY=VALUE',
        help='override settings of the config',
    )
    return parser.parse_args()


def main() -> None:
    """Trains without and with interruptions and compares."""
    args = parse_args()
    if args.out.exists():
        raise UserError(f'{args.out} exists. Remedy: give a new folder')
    args.out.mkdir(parents=True)
    trial = Trial(args.config, args.out, args.seed, args.cfg_options)
    if trial.train('uninterrupted'):
        log = args.out / 'uninterrupted.log'
        raise UserError(f'{args.config} does not train; see {log}')
    wanted, failed = trial.result('uninterrupted'), False
    for number in args.points:
        point, name = POINTS[number], f'killed_{number}'
        killed = trial.train(name, KillHook(point, args.epoch))
        resumed = trial.train(name)
        if killed != -signal.SIGKILL:
            verdict = f'never got there (exit code {killed})'
        elif resumed:
            verdict = f'did not go on (exit code {resumed}), see {name}.log'
        else:
            wrong = differences(wanted, trial.result(name))
            verdict = f'{len(wrong)} values differ, {wrong[:3]}' if wrong else 'equal'
            shutil.rmtree(args.out / name)
        failed |= verdict != 'equal'
        print(f'killed {point:<54} {verdict}', flush=True)
    if failed:
        sys.exit(1)


if __name__ == '__main__':
    sys.exit(run_tool(main))
