"""Takes one run from where it is to its result, by the command line tools."""

from __future__ import annotations

import datetime
import fcntl
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import IO

from mmtal_mts.utils import latest_checkpoint
from mmtal_mts.utils.errors import is_input_error
from mmtal_mts.utils.io import atomic_write, write_json

from .outcome import evaluate_runs
from .run import AblationRun, RunResult

_PATIENCE_S = 10


def commands(
    run: AblationRun, tools_dir: Path, resume: bool, checkpoint: str = 'CHECKPOINT'
) -> dict[str, list[str]]:
    """What is started for a run.

    Args:
        run (AblationRun): The run.
        tools_dir (Path): Folder of ``train.py`` and ``test.py``.
        resume (bool): Whether a training goes on from its last checkpoint.
        checkpoint (str): What to test.

    Returns:
        dict[str, list[str]]: Program and arguments of 'train' and 'test'.
    """
    train = [
        *(sys.executable, str(tools_dir / 'train.py'), str(run.config)),
        *('--work-dir', str(run.train_dir), '--seed', str(run.seed), '--no-validate'),
    ]
    test = [
        *(sys.executable, str(tools_dir / 'test.py'), str(run.config), checkpoint),
        *('--work-dir', str(run.test_dir)),
    ]
    return {'train': [*train, '--resume'] if resume else train, 'test': test}


class RunExecution:
    """The process that works on a run, at the moment.

    A run is training, then test, then evaluation. Each is noted in a file when it is
    done, so that after a kill only the one that was interrupted is done again. The
    lock is held by the processes that were started as well: as long as a training
    lives, even if this process was killed, nobody else starts it.

    Args:
        run (AblationRun): The run.
        tools_dir (Path): Folder of ``train.py`` and ``test.py``.
        env (Mapping[str, str]): Environment of the processes.
        resume (bool): Whether an interrupted training goes on from its last
            checkpoint, instead of from its start.

    Attributes:
        run (AblationRun): The run.
        state (str): 'elsewhere' (another process has the lock), 'train', 'test',
            'done' or 'failed'.
        reason (str): Why it failed.
        result (RunResult, optional): Of a run that is done.
    """

    def __init__(
        self,
        run: AblationRun,
        tools_dir: Path,
        env: Mapping[str, str],
        resume: bool = False,
    ) -> None:
        self.run = run
        self.state = 'elsewhere'
        self.reason = ''
        self.result: RunResult | None = None
        self._tools_dir, self._env, self._resume = tools_dir, env, resume
        self._lock: IO | None = None
        self._process: subprocess.Popen | None = None
        self._started = 0.0

    def start(self) -> bool:
        """Begins with what is not done yet, unless somebody else is at it.

        Returns:
            bool: False if the run is locked.
        """
        self.run.folder.mkdir(parents=True, exist_ok=True)
        self._lock = self.run.lock.open('a')
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._lock.close()
            return False
        # Of a call that was killed while it wrote a file; the lock is ours.
        for leftover in self.run.folder.glob('.*.*'):
            leftover.unlink()
        self.result = self.run.read_result()
        if self.result is not None:
            self._finish('done')
            return True
        if not self.run.config.is_file():
            with atomic_write(self.run.config) as temporary:
                temporary.write_text(self.run.config_text, encoding='utf-8')
        if self.run.trained.is_file():
            self._begin('test')
        else:
            if not self._resume:
                shutil.rmtree(self.run.train_dir, ignore_errors=True)
            self._begin('train')
        return True

    def poll(self) -> str:
        """Looks whether the process has ended, and goes on with the next step.

        Returns:
            str: The state.
        """
        code = self._process.poll() if self._process is not None else None
        if code is None:
            return self.state
        seconds = round(time.monotonic() - self._started, 1)
        try:
            if code != 0:
                self._fail(f'{self.state} ended with {_describe(code)}')
            elif self.state == 'train':
                self._note_training(seconds)
                self._begin('test')
            else:
                self._note_result(seconds)
        except Exception as error:
            if not is_input_error(error):
                raise
            self._fail(str(error))
        return self.state

    def stop(self) -> None:
        """Ends the process, if there is one."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(_PATIENCE_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._finish(self.state)

    def _begin(self, step: str) -> None:
        self.state, self._started = step, time.monotonic()
        checkpoint = ''
        if step == 'test':
            checkpoint = json.loads(self.run.trained.read_text())['checkpoint']
        arguments = commands(self.run, self._tools_dir, self._resume, checkpoint)[step]
        with self.run.log(step).open('w', encoding='utf-8') as log:
            self._process = subprocess.Popen(
                arguments,
                env=self._env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                pass_fds=(self._lock.fileno(),),
            )

    def _note_training(self, seconds: float) -> None:
        checkpoint = latest_checkpoint(self.run.train_dir)
        if checkpoint is None:
            raise FileNotFoundError(f'{self.run.train_dir} holds no checkpoint')
        write_json(self.run.trained, {'checkpoint': checkpoint, 'seconds': seconds})

    def _note_result(self, seconds: float) -> None:
        trained = json.loads(self.run.trained.read_text(encoding='utf-8'))
        result, average = evaluate_runs([self.run])
        self.result = RunResult(
            tiou_thresholds=result.tiou_thresholds,
            mean_ap=tuple(result.mean_ap.tolist()),
            average=average,
            train_seconds=trained['seconds'],
            test_seconds=seconds,
            checkpoint=trained['checkpoint'],
            config_sha256=self.run.config_sha256,
            finished=datetime.datetime.now(datetime.timezone.utc).isoformat(
                timespec='seconds'
            ),
        )
        self.run.write_result(self.result)
        kept = Path(trained['checkpoint']).name
        for path in self.run.train_dir.glob('*.pth'):
            if path.name != kept:
                path.unlink()
        self._finish('done')

    def _fail(self, reason: str) -> None:
        self.reason = f'{reason}; see {self.run.log(self.state)}'
        self._finish('failed')

    def _finish(self, state: str) -> None:
        self.state, self._process = state, None
        if self._lock is not None:
            self._lock.close()


def _describe(code: int) -> str:
    return f'signal {-code}' if code < 0 else f'exit code {code}'


def child_environment(threads: int) -> dict[str, str]:
    """The environment of the tools.

    Args:
        threads (int): Of each process.

    Returns:
        dict[str, str]: This process's, with that number of threads.
    """
    return {**os.environ, 'OMP_NUM_THREADS': str(threads)}
