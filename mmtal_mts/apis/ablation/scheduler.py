"""Works on several runs at a time until all are done."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path

from .execution import RunExecution, child_environment
from .progress import AblationProgress
from .run import AblationRun

_POLL_S = 0.2
_ELSEWHERE_POLL_S = 2.0


def run_all(
    runs: Sequence[AblationRun],
    tools_dir: Path,
    progress: AblationProgress,
    *,
    jobs: int,
    threads: int,
    resume: bool = False,
) -> dict[str, str]:
    """Runs what is not done; one that fails does not stop the others.

    A run that another process works on (this function elsewhere, or a training that
    outlived it) is waited for. If this is interrupted, its processes are ended.

    Args:
        runs (Sequence[AblationRun]): The runs, in their order.
        tools_dir (Path): Folder of ``train.py`` and ``test.py``.
        progress (AblationProgress): Tells a person.
        jobs (int): How many at a time.
        threads (int): Of each.
        resume (bool): Whether an interrupted training goes on from its last
            checkpoint, instead of from its start.

    Returns:
        dict[str, str]: Why runs failed, by name.
    """
    env = child_environment(threads)
    waiting = deque(
        RunExecution(run, tools_dir, env, resume)
        for run in runs
        if run.read_result() is None
    )
    running: list[RunExecution] = []
    elsewhere: list[RunExecution] = []
    failed: dict[str, str] = {}
    retry_at = 0.0
    try:
        while waiting or running or elsewhere:
            if time.monotonic() >= retry_at:
                waiting.extend(elsewhere)
                elsewhere.clear()
                retry_at = time.monotonic() + _ELSEWHERE_POLL_S
            while waiting and len(running) < jobs:
                one = waiting.popleft()
                (running if one.start() else elsewhere).append(one)
                progress.show(one)
            for one in list(running):
                if one.poll() in ('done', 'failed'):
                    running.remove(one)
                    if one.state == 'failed':
                        failed[one.run.name] = one.reason
                progress.show(one)
            time.sleep(_POLL_S)
    finally:
        for one in running:
            one.stop()
    return failed
