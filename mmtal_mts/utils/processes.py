"""Child processes that neither outlive their parent nor take it down."""

from __future__ import annotations

import multiprocessing
import multiprocessing.connection
import os
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

Report = Callable[[Any], None]


class JobEvent(NamedTuple):
    """What one job has to say.

    Attributes:
        job: The job, as it was given.
        kind: 'progress', 'done' or 'failed'.
        value: What the job reported or returned, or why it failed.
    """

    job: Any
    kind: str
    value: Any


def fork_context() -> multiprocessing.context.BaseContext:
    """Returns how to start processes: by fork on Linux, elsewhere by a new interpreter.

    A forked process starts at once; a new interpreter imports everything again.

    Returns:
        The context.
    """
    return multiprocessing.get_context(
        'fork' if sys.platform.startswith('linux') else 'spawn'
    )


def exit_with_parent() -> None:
    """Makes this process end when its parent is killed, instead of waiting forever."""

    def watch() -> None:
        multiprocessing.connection.wait([multiprocessing.parent_process().sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def run_isolated(
    function: Callable[[Any, Report], Any], jobs: Iterable[Any], workers: int
) -> Iterator[JobEvent]:
    """Runs every job in a process of its own, some of them at a time.

    A job that raises, or whose process dies (a decoder that crashes on a damaged
    file, the system running out of memory), fails by itself: the others go on. If
    this generator is closed or interrupted, running jobs are stopped.

    Args:
        function: Called as ``function(job, report)``; ``report`` sends progress.
        jobs: Jobs.
        workers: How many run at a time.

    Yields:
        Events in the order in which they happen: any number of 'progress', then one
        'done' or 'failed' for each job.
    """
    context = fork_context()
    waiting = deque(jobs)
    running: dict[Any, tuple[Any, Any]] = {}
    try:
        while waiting or running:
            while waiting and len(running) < workers:
                job = waiting.popleft()
                receiver, sender = context.Pipe(duplex=False)
                process = context.Process(
                    target=_run_job, args=(function, job, sender), daemon=True
                )
                process.start()
                # Otherwise the end of the process would not be the end of the pipe.
                sender.close()
                running[receiver] = process, job
            for receiver in multiprocessing.connection.wait(list(running)):
                process, job = running[receiver]
                try:
                    kind, value = receiver.recv()
                except EOFError:
                    process.join()
                    kind, value = 'failed', _describe_end(process.exitcode)
                yield JobEvent(job, kind, value)
                if kind != 'progress':
                    del running[receiver]
                    receiver.close()
                    process.join()
    finally:
        for process, _ in running.values():
            process.terminate()
        for process, _ in running.values():
            process.join()


def _run_job(function: Callable[[Any, Report], Any], job: Any, sender: Any) -> None:
    # Ctrl-C reaches the whole process group; the parent decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    exit_with_parent()
    try:
        value = function(job, lambda progress: sender.send(('progress', progress)))
    except Exception as error:
        reason = str(error) or type(error).__name__
        if not isinstance(error, (ValueError, OSError)):
            reason = f'{type(error).__name__}: {reason}'
        sender.send(('failed', reason))
    else:
        sender.send(('done', value))


def _describe_end(exit_code: int) -> str:
    if exit_code < 0:
        return (
            f'its process died by {signal.Signals(-exit_code).name}; the file may be '
            'damaged, or the memory too small for so many workers'
        )
    return f'its process ended without a result (exit code {exit_code})'


def run_ahead(items: Iterable[Any], depth: int) -> Iterator[Any]:
    """Makes items in a thread of their own, up to ``depth`` of them in advance.

    Args:
        items: Consumed in the thread. What it raises is raised here.
        depth: How many items at most are made in advance.

    Yields:
        The items, in order.
    """
    iterator, end = iter(items), object()
    pool = ThreadPoolExecutor(1, thread_name_prefix='run_ahead')
    try:
        waiting = deque(pool.submit(next, iterator, end) for _ in range(max(depth, 1)))
        while (item := waiting.popleft().result()) is not end:
            waiting.append(pool.submit(next, iterator, end))
            yield item
    finally:
        pool.shutdown(cancel_futures=True)
