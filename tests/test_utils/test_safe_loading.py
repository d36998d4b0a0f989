"""Checkpoints of MMEngine load, and nothing in a checkpoint is run."""

from __future__ import annotations

import pickle
import subprocess

import mmengine
import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer, MessageHub

from mmtal_mts import compat
from mmtal_mts.utils import safe_loading
from mmtal_mts.utils.safe_loading import can_extend_torch, load_safely

needs_strict_torch = pytest.mark.skipif(
    not can_extend_torch(), reason='torch before 2.6 does not load weights-only'
)


@pytest.fixture(params=['torch', 'pickle'])
def loader(request, monkeypatch):
    """What does the work: torch itself, or on older ones a limited unpickler."""
    if request.param == 'pickle':
        monkeypatch.setattr(safe_loading, 'can_extend_torch', lambda: False)
    elif not can_extend_torch():
        pytest.skip('torch before 2.6 does not load weights-only')


@pytest.fixture
def no_safe_globals():
    """Takes the allowed globals away for one test."""
    allowed = torch.serialization.get_safe_globals()
    torch.serialization.clear_safe_globals()
    yield
    torch.serialization.clear_safe_globals()
    torch.serialization.add_safe_globals(allowed)


@pytest.fixture
def checkpoint(tmp_path) -> str:
    """What MMEngine keeps of a training, numpy scalars of all kinds included."""
    hub = MessageHub('test_safe_globals')
    hub.update_scalar('train/loss', 2.5)
    hub.update_scalar('train/loss', np.float64(1.5))
    hub.update_scalar('train/count', 3)
    for kind in (np.float32, np.float64, np.int32, np.int64, np.bool_):
        hub.update_info(f'info_{kind.__name__}', kind(1))
    layer = torch.nn.Linear(2, 1).half()
    optimizer = torch.optim.AdamW(layer.parameters())
    optimizer.param_groups[0]['dtype'] = torch.bfloat16
    path = str(tmp_path / 'epoch_1.pth')
    torch.save(
        {
            'state_dict': layer.state_dict(),
            'parameter': layer.weight,
            'optimizer': optimizer.state_dict(),
            'message_hub': hub.state_dict(),
        },
        path,
    )
    return path


def test_training_state(checkpoint, loader):
    loaded = load_safely(checkpoint)

    weight = loaded['state_dict']['weight']
    assert weight.dtype == torch.float16
    assert torch.equal(loaded['parameter'], weight)
    assert loaded['optimizer']['param_groups'][0]['dtype'] == torch.bfloat16
    history = loaded['message_hub']['log_scalars']['train/loss']
    assert isinstance(history, HistoryBuffer)
    assert history.mean() == 2.0
    assert history.statistics('min') == 1.5
    assert loaded['message_hub']['runtime_info']['info_float32'] == np.float32(1)


@pytest.mark.parametrize(
    'payload',
    [
        pytest.param((print, ('pwned',)), id='builtin'),
        pytest.param((subprocess.check_call, (['true'],)), id='process'),
        pytest.param((getattr, (HistoryBuffer, '__init__')), id='attribute'),
        pytest.param((getattr, (np.ndarray, 'tofile')), id='other class'),
        pytest.param((getattr, ('{}', 'format')), id='string'),
        pytest.param((torch.load, ('other.pth',)), id='torch'),
    ],
)
def test_malicious_checkpoint_is_refused(tmp_path, payload, loader):
    class Payload:
        def __reduce__(self):
            return payload

    path = tmp_path / 'evil.pth'
    torch.save({'state_dict': {}, 'meta': Payload()}, path)

    with pytest.raises(pickle.UnpicklingError):
        load_safely(path)


@needs_strict_torch
class TestTorchItself:
    """What MMEngine calls."""

    def test_fails_without_the_repair(self, checkpoint, no_safe_globals):
        with pytest.raises(pickle.UnpicklingError, match='HistoryBuffer'):
            torch.load(checkpoint)

    def test_loads_with_the_repair(self, checkpoint, no_safe_globals):
        compat.register_safe_globals()

        assert 'train/loss' in torch.load(checkpoint)['message_hub']['log_scalars']

    def test_mmengine_itself_loads_it(self, checkpoint):
        loaded = mmengine.runner.CheckpointLoader.load_checkpoint(checkpoint)

        assert 'message_hub' in loaded
