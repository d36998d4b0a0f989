"""One line for each run: what it is at, or what came out."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.live import Live
from rich.table import Table

from .execution import RunExecution
from .run import AblationRun

_REFRESH_S = 0.5
# Where not all runs fit on the screen, those that say most come first.
_ORDER = ('train', 'test', 'failed', 'elsewhere', 'waiting', 'done')
_STYLES = {'done': 'green', 'failed': 'red', 'train': 'cyan', 'test': 'cyan'}


@dataclass
class _Line:
    state: str
    text: str


class AblationProgress:
    """A live table on a terminal, otherwise a line whenever a state changes.

    Args:
        runs (Sequence[AblationRun]): All runs of the plan.
        jobs (int): How many work at a time, for the estimate of the time left.
        console (Console, optional): Where to write; standard output by default.
    """

    def __init__(
        self, runs: Sequence[AblationRun], jobs: int, console: Console | None = None
    ) -> None:
        self._console = console or Console(highlight=False, soft_wrap=True)
        self._jobs = jobs
        self._lines: dict[str, _Line] = {}
        self._seconds: list[float] = []
        self._begun: dict[str, float] = {}
        self._drawn_at = 0.0
        for run in runs:
            result = run.read_result()
            if result is None:
                self._lines[run.name] = _Line('waiting', '')
                continue
            self._lines[run.name] = _Line('done', _percent(result.average))
            self._seconds.append(result.train_seconds + result.test_seconds)
        # Without a thread of its own: processes are started beside it.
        self._live = Live(console=self._console, auto_refresh=False, transient=True)

    def __enter__(self) -> AblationProgress:
        if self._console.is_terminal:
            self._live.start()
        self._console.print(self.summary(), markup=False)
        return self

    def __exit__(self, *_: object) -> None:
        if self._live.is_started:
            self._live.stop()
            self._console.print(self.table())

    def show(self, execution: RunExecution) -> None:
        """Tells what a run is at.

        Args:
            execution (RunExecution): The run.
        """
        name, state = execution.run.name, execution.state
        before = self._lines[name].state
        if state == 'train' and before != 'train':
            self._begun[name] = time.monotonic()
        if state == 'done' and before != 'done':
            result = execution.result
            self._seconds.append(result.train_seconds + result.test_seconds)
        is_due = time.monotonic() - self._drawn_at >= _REFRESH_S
        if state != before or (is_due and self._live.is_started):
            self._lines[name] = _Line(state, self._text(execution))
        if self._live.is_started:
            if state != before or is_due:
                self._drawn_at = time.monotonic()
                self._live.update(self.table(), refresh=True)
        elif state != before:
            ended = sum(ln.state in ('done', 'failed') for ln in self._lines.values())
            line = f'[{ended}/{len(self._lines)}] {name}: {state} '
            self._console.print(
                (line + self._lines[name].text).rstrip(),
                style=_STYLES.get(state, ''),
                markup=False,
            )

    def summary(self) -> str:
        """How many runs are in which state, and how long the rest may take.

        Returns:
            str: One line.
        """
        counts = Counter(line.state for line in self._lines.values())
        parts = [f'{counts[state]} {state}' for state in _ORDER if counts[state]]
        text = f'{len(self._lines)} runs: {", ".join(parts)}'
        left = len(self._lines) - counts['done'] - counts['failed']
        if self._seconds and left:
            each = sum(self._seconds) / len(self._seconds)
            text += f'; about {each * left / self._jobs / 60:.0f} min left'
        return text

    def table(self) -> Table:
        """All runs, those at work first.

        Returns:
            Table: For a console.
        """
        table = Table(title=self.summary(), title_justify='left', box=None)
        table.add_column('run', no_wrap=True)
        table.add_column('state', no_wrap=True)
        table.add_column('')
        lines = sorted(
            self._lines.items(), key=lambda item: _ORDER.index(item[1].state)
        )
        for name, line in lines:
            table.add_row(
                name, line.state, line.text, style=_STYLES.get(line.state, '')
            )
        return table

    def _text(self, execution: RunExecution) -> str:
        run = execution.run
        if execution.state == 'done':
            seconds = execution.result.train_seconds
            return f'{_percent(execution.result.average)}, trained in {seconds:.0f} s'
        if execution.state == 'failed':
            return execution.reason
        if execution.state == 'elsewhere':
            return f'another process works on it (it locks {run.lock})'
        if execution.state == 'train':
            passed = time.monotonic() - self._begun.get(run.name, time.monotonic())
            where = f'{run.unit} {run.progress()} of {run.max_progress}'
            return f'{where}, {passed:.0f} s' if passed >= 1 else ''
        return ''


def _percent(value: float) -> str:
    return f'mAP {100 * value:.1f} %'
