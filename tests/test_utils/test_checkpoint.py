"""Checkpoints load without running anything, fit their model, and are found."""

from __future__ import annotations

import os
import pickle
import shutil
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
)


@pytest.fixture
def training(tmp_path) -> str:
    """What MMEngine keeps of a training, numpy scalars of all kinds included."""
    hub = MessageHub('test_safe_globals')
    for value in (2.5, np.float64(1.5)):
        hub.update_scalar('train/loss', value)
    hub.update_scalar('train/count', 3)
    for kind in (np.float32, np.float64, np.int32, np.int64, np.bool_):
        hub.update_info(f'info_{kind.__name__}', kind(1))
    layer = nn.Linear(2, 1).half()
    optimizer = torch.optim.AdamW(layer.parameters())
    optimizer.param_groups[0]['dtype'] = torch.bfloat16
    content = dict(
        state_dict=layer.state_dict(),
        parameter=layer.weight,
        optimizer=optimizer.state_dict(),
        message_hub=hub.state_dict(),
    )
    return save(tmp_path / 'epoch_1.pth', content)


@pytest.fixture
def model() -> nn.Module:
    return nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))


def save(path, content) -> str:
    torch.save(content, path)
    return str(path)


def tear(path) -> None:
    os.truncate(path, path.stat().st_size - 100)


@pytest.mark.parametrize(
    'load', [load_checkpoint, CheckpointLoader.load_checkpoint, torch.load]
)
def test_the_state_of_a_training_is_loaded(training, load):
    loaded = load(training)
    weight = loaded['state_dict']['weight']
    assert weight.dtype == torch.float16
    assert torch.equal(loaded['parameter'], weight)
    assert loaded['optimizer']['param_groups'][0]['dtype'] == torch.bfloat16
    history = loaded['message_hub']['log_scalars']['train/loss']
    assert isinstance(history, HistoryBuffer)
    assert (history.mean(), history.statistics('min')) == (2.0, 1.5)
    assert loaded['message_hub']['runtime_info']['info_float32'] == np.float32(1)


def test_torch_itself_refuses_it_without_the_repair(training):
    allowed = torch.serialization.get_safe_globals()
    torch.serialization.clear_safe_globals()
    try:
        with pytest.raises(pickle.UnpicklingError, match='HistoryBuffer'):
            torch.load(training)
    finally:
        torch.serialization.add_safe_globals(allowed)


@pytest.mark.parametrize(
    ('function', 'arguments'),
    [
        (print, ('pwned',)),
        (subprocess.check_call, (['true'],)),
        (getattr, (HistoryBuffer, '__init__')),
        (getattr, (np.ndarray, 'tofile')),
        (getattr, ('{}', 'format')),
        (torch.load, ('other.pth',)),
    ],
)
def test_a_malicious_checkpoint_is_refused(tmp_path, function, arguments):
    class Payload:
        def __reduce__(self):
            return function, arguments

    path = save(tmp_path / 'evil.pth', dict(state_dict={}, meta=Payload()))
    with pytest.raises(UserError, match='evil.pth holds something else') as caught:
        load_checkpoint(path)
    # Torch's own message suggests to load it anyway.
    assert 'weights_only' not in str(caught.value)


def test_an_address_is_fetched_once_and_checked_like_a_file(
    training, model, tmp_path, monkeypatch
):
    fetched: list[str] = []

    def download(url, path, *_, **__):
        fetched.append(url)
        if 'gone' in url:
            raise OSError('404')
        shutil.copy(__file__ if 'torn' in url else training, path)

    monkeypatch.setattr(torch.hub, 'get_dir', lambda: str(tmp_path))
    monkeypatch.setattr(torch.hub, 'download_url_to_file', download)
    url = 'https://example.org/models/a.pth'
    for _ in range(2):
        loaded = load_checkpoint(url)['state_dict']['weight']
        assert torch.equal(loaded, load_checkpoint(training)['state_dict']['weight'])
    with pytest.raises(UserError, match='a.pth is of another architecture'):
        check_checkpoint(model, url)
    assert fetched == [url]
    with pytest.raises(UserError, match='gone.pth cannot be fetched whole .404.'):
        CheckpointLoader.load_checkpoint('http://example.org/gone.pth')
    # MMEngine would hand it to pickle.
    with pytest.raises(UserError, match='torn.pth holds something else'):
        load_checkpoint('http://example.org/torn.pth')


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


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        (None, 'does not exist. Remedy'),
        (b'', 'cannot be read'),
        (b'not a checkpoint', 'holds something else'),
        (b'PK\x03\x04torn', 'cannot be read'),
        ([1, 2], 'holds a list, not a dict'),
        (dict(a=1), 'holds no weights'),
        (dict(state_dict={}), 'holds no weights'),
        (dict(extra=torch.ones(1)), r'1 weights are unknown to the model \(extra\)'),
    ],
)
def test_what_is_no_checkpoint_of_the_model_is_refused(
    model, tmp_path, content, message
):
    path = tmp_path / 'a.pth'
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        is_extra = 'extra' in content
        save(path, dict(model.state_dict(), **content) if is_extra else content)
    with pytest.raises(UserError, match=f'checkpoint {path} .*{message}'):
        check_checkpoint(model, str(path))


def test_weights_that_are_torn_or_of_another_architecture_are_refused(model, tmp_path):
    path = tmp_path / 'a.pth'
    weights = dict(state_dict=model.state_dict(), meta={})
    save(path, weights)
    with pytest.raises(UserError, match=r'\(message_hub, optimizer missing\)'):
        check_checkpoint(model, path, resume=True)
    tear(path)
    with pytest.raises(UserError, match=f'checkpoint {path} cannot be read'):
        check_checkpoint(model, path)
    other = nn.Sequential(nn.Linear(2, 4), nn.Linear(4, 1))
    save(path, dict(state_dict=other.state_dict()))
    with pytest.raises(UserError) as caught:
        check_checkpoint(model, path)
    for words in (
        "0 of the model's 7 weights fit",
        '3 weights of the model are missing (1.running_mean',
        '4 have another shape (0.weight is (4, 2) instead of (3, 2)',
        'Remedy: use the config',
    ):
        assert words in str(caught.value)


@pytest.mark.parametrize(
    ('named', 'change', 'found'),
    [
        ('{}/epoch_2.pth\n', None, 2),
        ('/somewhere/else/epoch_3.pth', None, 3),
        ('{}/epoch_3.pth', tear, 2),
        ('{}/epoch_3.pth', os.unlink, 2),
        (None, None, 3),
    ],
)
def test_the_last_whole_checkpoint_is_found(tmp_path, named, change, found):
    for folder in (tmp_path, tmp_path / 'missing'):
        assert latest_checkpoint(folder) is None
    for epoch in (1, 2, 3):
        path = tmp_path / f'epoch_{epoch}.pth'
        os.utime(save(path, dict(epoch=epoch)), (1000 + epoch, 1000 + epoch))
    # The best one has no part in resuming.
    torch.save({}, tmp_path / 'best_mAP_epoch_2.pth')
    if named is not None:
        (tmp_path / 'last_checkpoint').write_text(named.format(tmp_path))
    if change is not None:
        change(path)
    assert latest_checkpoint(tmp_path) == str(tmp_path / f'epoch_{found}.pth')
