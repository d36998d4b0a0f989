"""A checkpoint that is none, or of another model, is refused with one message."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from mmtal_mts.apis import check_checkpoint
from mmtal_mts.utils import UserError


@pytest.fixture
def model() -> nn.Module:
    return nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))


def save(path, content) -> str:
    torch.save(content, path)
    return str(path)


def test_own_checkpoint_fits(model, tmp_path):
    path = save(tmp_path / 'a.pth', dict(state_dict=model.state_dict()))

    check_checkpoint(model, path)


def test_bare_and_wrapped_weights_fit(model, tmp_path):
    wrapped = {f'module.{key}': value for key, value in model.state_dict().items()}

    check_checkpoint(model, save(tmp_path / 'a.pth', wrapped))


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


def test_malicious_checkpoint(model, tmp_path):
    class Payload:
        def __reduce__(self):
            return print, ('pwned',)

    path = save(tmp_path / 'a.pth', dict(state_dict={}, meta=Payload()))

    with pytest.raises(UserError, match='something else than weights') as caught:
        check_checkpoint(model, path)

    # Torch's own message suggests to load it anyway.
    assert 'weights_only' not in str(caught.value)


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
