"""Processes of their own for jobs that may crash."""

from __future__ import annotations

import os
import signal
import time

import pytest

from mmtal_mts.utils.processes import run_isolated

WHAT_HAPPENS = {
    'crash': 'died by SIGKILL',
    'exit': r'exit code 3',
    'input': 'input',
    'bug': 'KeyError: ',
}


def job(name, report):
    if name == 'crash':
        os.kill(os.getpid(), signal.SIGKILL)
    if name == 'exit':
        os._exit(3)
    if name == 'input':
        raise ValueError('input')
    if name == 'bug':
        {}['bug']
    report(1)
    report(2)
    return os.getpid()


def write_pid_and_wait(path, report):
    path.write_text(str(os.getpid()))
    report('ready')
    time.sleep(60)


@pytest.mark.parametrize('workers', [1, 3])
def test_a_failing_job_does_not_touch_the_others(workers):
    names = ['one', *WHAT_HAPPENS, 'two']
    events = list(run_isolated(job, names, workers))
    by_job = {
        name: [(e.kind, e.value) for e in events if e.job == name] for name in names
    }
    for name, reason in WHAT_HAPPENS.items():
        ((kind, value),) = by_job[name]
        assert kind == 'failed'
        assert reason in value
    pids = set()
    for name in ('one', 'two'):
        *progress, (kind, pid) = by_job[name]
        assert progress == [('progress', 1), ('progress', 2)]
        assert kind == 'done'
        pids.add(pid)
    assert len(pids) == 2 and os.getpid() not in pids


def test_no_job_no_event():
    assert list(run_isolated(job, [], 2)) == []


def is_running(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_closing_stops_running_jobs(tmp_path):
    events = run_isolated(write_pid_and_wait, [tmp_path / 'a', tmp_path / 'b'], 2)
    for _ in range(2):
        assert next(events).value == 'ready'
    pids = [int((tmp_path / name).read_text()) for name in 'ab']
    assert all(map(is_running, pids))
    events.close()
    assert not any(map(is_running, pids))
