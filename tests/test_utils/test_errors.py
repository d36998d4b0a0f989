"""Bad input ends a tool with a message; bugs keep their traceback."""

from __future__ import annotations

import sys
from unittest.mock import Mock

import pytest
from mmaction.registry import MODELS
from torch.utils.data import DataLoader
from toy_runner import run_child

from mmtal_mts.compat import full_flavour_problem
from mmtal_mts.utils import InvalidLossError, UserError, run_tool
from mmtal_mts.utils.errors import error_message


def run(error: BaseException) -> int:
    return run_tool(Mock(side_effect=error))


@pytest.mark.parametrize(
    'error',
    [
        UserError('bad input'),
        ValueError('bad input'),
        FileNotFoundError('bad input'),
        ImportError('bad input'),
        KeyError('X is not in the mmaction::model registry. bad input'),
        TypeError('class `X` in y.py: bad input'),
        InvalidLossError('bad input'),
    ],
)
def test_bad_input_is_one_message(error, capsys, monkeypatch):
    monkeypatch.delenv('MMTAL_DEBUG', raising=False)
    assert run(error) == 2
    output = capsys.readouterr().err
    assert output.startswith('\nerror')
    assert 'bad input' in output and 'Traceback' not in output
    monkeypatch.setenv('MMTAL_DEBUG', '1')
    with pytest.raises(type(error)):
        run(error)


def test_a_lost_process_is_one_message(capsys):
    error = RuntimeError('[/x/gloo/transport/tcp/pair.cc:5] Connection closed by peer')
    assert run(error) == 3
    output = capsys.readouterr().err
    assert 'another process of the job was lost' in output
    assert 'closed by peer' in output and '--resume' in output


@pytest.mark.parametrize('kind', [TypeError, KeyError, AttributeError, RuntimeError])
def test_bugs_keep_their_traceback(kind):
    with pytest.raises(kind):
        run(kind('bug'))


def test_interrupt_and_success_have_their_codes(capsys):
    assert run(KeyboardInterrupt()) == 130
    assert capsys.readouterr().err == '\ninterrupted\n'
    assert run_tool(lambda: None) == 0


def test_message_of_a_data_worker_has_no_traceback():
    def fail(batch: list[int]) -> None:
        raise ValueError('video a.mp4 cannot be read\nRemedy: another video')

    with pytest.raises(ValueError) as caught:
        next(iter(DataLoader([0], num_workers=1, collate_fn=fail)))
    message = error_message(caught.value)
    assert message == 'video a.mp4 cannot be read\nRemedy: another video'
    for message in ('mmdetection is fine', 'x/mmcv.py'):
        assert error_message(ValueError(message)) == message


def test_reader_that_goes_away_is_no_error():
    code = (
        'import sys\n'
        'from mmtal_mts.utils import run_tool\n'
        'sys.exit(run_tool(lambda: [print("line") for _ in range(10**6)]))\n'
    )
    pipe = '"$0" -c "$1" | head -n 1; exit ${PIPESTATUS[0]}'
    assert run_child('bash', '-c', pipe, sys.executable, code) == (141, 'line\n')


@pytest.mark.skipif(full_flavour_problem() is None, reason='this is the full flavour')
def test_what_only_the_full_flavour_has_names_its_installation():
    # Not there, or broken by the mmcv that is not there, as mmdet beside mmcv-lite is.
    with pytest.raises((KeyError, ImportError)) as caught:
        MODELS.build(dict(type='mmdet.GIoULoss'))
    assert 'bash tools/install_full.sh' in error_message(caught.value)
    error = ModuleNotFoundError("No module named 'mmcv._ext'")
    assert 'only in the full flavour' in error_message(error)
