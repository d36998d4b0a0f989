"""Checkpoints load without running anything, fit their model, and are found."""

from __future__ import annotations

import os
import pickle
import subprocess

import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer, MessageHub
from mmengine.runner import CheckpointLoader
from torch import nn

from mmtal_mts.utils import UserError, latest_checkpoint
from mmtal_mts.utils.checkpoint import (
    check_checkpoint,
    load_checkpoint,
    load_model_weights,
    load_weights,
    register_safe_globals,
)


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
    with pytest.raises(UserError, match='evil.pth holds something else') as caught:
        load_checkpoint(path)
    # Torch's own message suggests to load it anyway.
    assert 'weights_only' not in str(caught.value)


def test_what_comes_from_an_address_is_loaded_like_a_file(
    checkpoint, tmp_path, monkeypatch
):
    monkeypatch.setattr(torch.hub, 'get_dir', lambda: str(tmp_path))
    fetched: list[str] = []

    def download(url, path, *_, **__):
        fetched.append(url)
        if 'gone' in url:
            raise OSError('404')
        content = open(checkpoint, 'rb').read()
        open(path, 'wb').write(b'x' if 'torn' in url else content)

    monkeypatch.setattr(torch.hub, 'download_url_to_file', download)
    url = 'https://example.org/models/a.pth'
    for _ in range(2):
        loaded = load_checkpoint(url)['state_dict']['weight']
        assert torch.equal(loaded, load_checkpoint(checkpoint)['state_dict']['weight'])
    assert fetched == [url]
    with pytest.raises(UserError, match='gone.pth cannot be fetched whole .404.'):
        CheckpointLoader.load_checkpoint('http://example.org/gone.pth')
    # MMEngine would hand it to pickle.
    with pytest.raises(UserError, match='torn.pth holds something else'):
        load_checkpoint('http://example.org/torn.pth')


def test_torch_itself_loads_with_the_repair_only(checkpoint, no_safe_globals):
    with pytest.raises(pickle.UnpicklingError, match='HistoryBuffer'):
        torch.load(checkpoint)
    register_safe_globals()
    assert 'train/loss' in torch.load(checkpoint)['message_hub']['log_scalars']


@pytest.fixture
def model() -> nn.Module:
    return nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))


def save(path, content) -> str:
    torch.save(content, path)
    return str(path)


def test_own_weights_fit_bare_wrapped_and_as_a_part(model, tmp_path):
    weights = model.state_dict()
    path = save(tmp_path / 'a.pth', dict(state_dict=weights, meta=dict(epoch=3)))
    check_checkpoint(model, path)
    wrapped = {f'module.{key}': value for key, value in weights.items()}
    check_checkpoint(model, save(tmp_path / 'b.pth', wrapped))
    assert load_model_weights(model, path) == dict(epoch=3)
    assert set(load_weights(path, '0.')) == {'weight', 'bias'}
    with pytest.raises(UserError, match="no weights of backbone: .*'0', '1'"):
        load_weights(path, 'backbone.')


def test_missing_file(model, tmp_path):
    with pytest.raises(UserError, match=r'nothing.pth does not exist. Remedy'):
        check_checkpoint(model, str(tmp_path / 'nothing.pth'))


@pytest.mark.parametrize('content', [b'', b'not a checkpoint', b'PK\x03\x04torn'])
def test_no_checkpoint_at_all(model, tmp_path, content):
    path = tmp_path / 'a.pth'
    path.write_bytes(content)
    with pytest.raises(UserError, match=f'checkpoint {path}'):
        check_checkpoint(model, str(path))


def test_torn_checkpoint(model, tmp_path):
    path = tmp_path / 'a.pth'
    torch.save(dict(state_dict=model.state_dict()), path)
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(UserError, match='cannot be read'):
        check_checkpoint(model, str(path))


@pytest.mark.parametrize('content', [[1, 2], dict(a=1), dict(state_dict={})])
def test_no_weights(model, tmp_path, content):
    with pytest.raises(UserError, match='holds'):
        check_checkpoint(model, save(tmp_path / 'a.pth', content))


def test_other_architecture(model, tmp_path):
    other = nn.Sequential(nn.Linear(2, 4), nn.Linear(4, 1))
    path = save(tmp_path / 'a.pth', dict(state_dict=other.state_dict()))
    with pytest.raises(UserError) as caught:
        check_checkpoint(model, path)
    message = str(caught.value)
    assert "0 of the model's 7 weights fit" in message
    assert '3 weights of the model are missing (1.running_mean' in message
    assert '4 have another shape (0.weight is (4, 2) instead of (3, 2)' in message
    assert 'Remedy: use the config' in message


def test_unknown_weights(model, tmp_path):
    weights = dict(model.state_dict(), extra=torch.ones(1))
    path = save(tmp_path / 'a.pth', dict(state_dict=weights))
    with pytest.raises(
        UserError, match=r'1 weights are unknown to the model \(extra\)'
    ):
        check_checkpoint(model, path)


def test_weights_alone_cannot_be_resumed(model, tmp_path):
    path = save(tmp_path / 'a.pth', dict(state_dict=model.state_dict(), meta={}))
    with pytest.raises(UserError, match=r'\(message_hub, optimizer missing\)'):
        check_checkpoint(model, path, resume=True)


def test_web_addresses_are_left_to_mmengine(model):
    check_checkpoint(model, 'https://example.com/a.pth')


@pytest.fixture
def work_dir(tmp_path):
    """Three checkpoints, the third the newest and named as the last one."""
    for epoch in (1, 2, 3):
        path = tmp_path / f'epoch_{epoch}.pth'
        torch.save(dict(epoch=epoch), path)
        os.utime(path, (1000 + epoch, 1000 + epoch))
    (tmp_path / 'last_checkpoint').write_text(str(tmp_path / 'epoch_3.pth'))
    return tmp_path


def test_named_checkpoint(work_dir):
    (work_dir / 'last_checkpoint').write_text(str(work_dir / 'epoch_2.pth') + '\n')
    assert latest_checkpoint(work_dir) == str(work_dir / 'epoch_2.pth')


def test_moved_work_dir(work_dir):
    (work_dir / 'last_checkpoint').write_text('/somewhere/else/epoch_3.pth')
    assert latest_checkpoint(work_dir) == str(work_dir / 'epoch_3.pth')


def test_torn_checkpoint_is_passed_over(work_dir):
    path = work_dir / 'epoch_3.pth'
    path.write_bytes(path.read_bytes()[:-100])
    assert latest_checkpoint(work_dir) == str(work_dir / 'epoch_2.pth')


def test_removed_checkpoint_is_passed_over(work_dir):
    (work_dir / 'epoch_3.pth').unlink()
    assert latest_checkpoint(work_dir) == str(work_dir / 'epoch_2.pth')


@pytest.mark.parametrize('name', ['', 'missing'])
def test_nothing_there(tmp_path, name):
    assert latest_checkpoint(tmp_path / name) is None


def test_the_best_checkpoint_has_no_part_in_resuming(work_dir):
    (work_dir / 'last_checkpoint').unlink()
    torch.save({}, work_dir / 'best_mAP_epoch_2.pth')
    assert latest_checkpoint(work_dir) == str(work_dir / 'epoch_3.pth')
