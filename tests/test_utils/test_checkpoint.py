"""Checkpoints of MMEngine load, and nothing in a checkpoint is run."""

from __future__ import annotations

import pickle
import subprocess

import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer, MessageHub
from mmengine.runner import CheckpointLoader

from mmtal_mts.utils import UserError
from mmtal_mts.utils.checkpoint import load_checkpoint, register_safe_globals


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


@pytest.mark.parametrize('load', [load_checkpoint, CheckpointLoader.load_checkpoint])
def test_training_state(checkpoint, load):
    loaded = load(checkpoint)

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
def test_malicious_checkpoint_is_refused(tmp_path, payload):
    class Payload:
        def __reduce__(self):
            return payload

    path = tmp_path / 'evil.pth'
    torch.save({'state_dict': {}, 'meta': Payload()}, path)

    with pytest.raises(UserError, match='evil.pth holds something else'):
        load_checkpoint(path)


def test_torch_itself_loads_with_the_repair_only(checkpoint, no_safe_globals):
    with pytest.raises(pickle.UnpicklingError, match='HistoryBuffer'):
        torch.load(checkpoint)
    register_safe_globals()
    assert 'train/loss' in torch.load(checkpoint)['message_hub']['log_scalars']
