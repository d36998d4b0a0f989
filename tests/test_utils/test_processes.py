"""Jobs that may crash do not touch each other, and items are made in advance."""

from __future__ import annotations

import os
import signal

import pytest

from mmtal_mts.utils.processes import describe_failure, run_ahead, run_jobs

FAILURES = {'crash': 'its process died', 'input': 'bad input', 'bug': "KeyError: 'bug'"}


def job(name: str) -> str:
    if name == 'crash':
        os.kill(os.getpid(), signal.SIGKILL)
    if name == 'input':
        raise ValueError('bad input')
    if name == 'bug':
        raise KeyError('bug')
    return f'{name} is done'


@pytest.mark.parametrize('workers', [1, 3])
def test_a_failing_job_does_not_touch_the_others(workers):
    names = ['one', *FAILURES, 'two']
    found = dict(run_jobs(job, names, workers))
    assert set(found) == set(names)
    assert (found['one'], found['two']) == ('one is done', 'two is done')
    for name, reason in FAILURES.items():
        assert describe_failure(found[name]).startswith(reason)


def test_no_job_no_result():
    assert list(run_jobs(job, [], 2)) == []


def test_items_keep_their_order_and_errors_arrive():
    def items():
        yield from range(5)
        raise ValueError('the end')

    found = []
    with pytest.raises(ValueError, match='the end'):
        for item in run_ahead(items(), 3):
            found.append(item)
    assert found == [0, 1, 2, 3, 4]


def test_no_more_items_are_made_in_advance_than_asked_for():
    made = []
    ahead = run_ahead((made.append(n) for n in range(100)), 2)
    next(ahead)
    ahead.close()
    assert len(made) <= 4
