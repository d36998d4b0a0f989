"""Work in processes that may crash, and in a thread that runs ahead."""

from __future__ import annotations

import os
import signal
import threading
import time
from concurrent.futures import ProcessPoolExecutor, wait

import pytest

from mmtal_mts.utils import processes
from mmtal_mts.utils.processes import run_ahead, run_jobs

WHAT_HAPPENS = {
    'crash': (ChildProcessError, 'its process died'),
    'exit': (ChildProcessError, 'its process died'),
    'input': (ValueError, 'input'),
    'bug': (KeyError, 'bug'),
}


def job(name):
    if name == 'crash':
        os.kill(os.getpid(), signal.SIGKILL)
    if name == 'exit':
        os._exit(3)
    if name in WHAT_HAPPENS:
        raise WHAT_HAPPENS[name][0](name)
    return os.getpid()


@pytest.mark.parametrize('workers', [1, 3])
def test_a_failing_job_does_not_touch_the_others(workers):
    names = ['one', *WHAT_HAPPENS, 'two']
    results = dict(run_jobs(job, names, workers))
    assert sorted(results) == sorted(names)
    for name, (kind, reason) in WHAT_HAPPENS.items():
        assert type(results[name]) is kind and reason in str(results[name])
    assert os.getpid() not in (results['one'], results['two'])
    assert list(run_jobs(job, [], workers)) == []


def test_a_process_that_dies_while_jobs_are_given_out_does_not_end_them(monkeypatch):
    class Slow(ProcessPoolExecutor):
        def submit(self, *args):
            future = super().submit(*args)
            wait([future])
            return future

    monkeypatch.setattr(processes, 'ProcessPoolExecutor', Slow)
    results = dict(run_jobs(job, ['exit', 'one', 'crash', 'two', 'three'], 2))
    dead = {name for name in results if isinstance(results[name], ChildProcessError)}
    assert len(results) == 5 and dead == {'exit', 'crash'}


def test_what_runs_ahead_keeps_its_order_and_distance_and_raises_errors():
    items, found = [], []
    for item in run_ahead((items.append(k) or k for k in range(100)), 3):
        found.append(item)
        time.sleep(0.001)
        assert len(items) <= len(found) + 3 + 1
    assert found == items == list(range(100))
    assert list(run_ahead([], 3)) == []
    # An error is raised after the items before it.
    items = run_ahead(map(int, ['0', 'torn']), 2)
    assert next(items) == 0
    with pytest.raises(ValueError, match='torn'):
        next(items)


def test_leaving_early_ends_the_thread():
    before = threading.active_count()
    items = run_ahead(iter(int, 1), 2)
    assert next(items) == 0
    items.close()
    assert threading.active_count() == before
