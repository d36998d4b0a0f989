"""Models by name: configs and weights are found, fetched once, and checked."""

from __future__ import annotations

import hashlib

import pytest
import torch

from mmtal_mts.apis import find_config, find_weights, init_model, list_models
from mmtal_mts.apis.model_zoo import checkpoint_config, local_weights
from mmtal_mts.utils import UserError

TINY = 'tal-mts_i3d-tiny_1xb4-128x48x48_synthetic'


@pytest.fixture(autouse=True)
def _no_zoo_elsewhere(monkeypatch, tmp_path):
    monkeypatch.delenv('MMTAL_ZOO', raising=False)
    monkeypatch.setattr(torch.hub, 'get_dir', lambda: str(tmp_path / 'hub'))


def test_names(repo_root):
    assert TINY in list_models() and TINY in list_models('*tiny*', with_weights=True)
    assert 'afsd_i3d_1xb1-256x96x96-16e_thumos14-rgb' in list_models('afsd*')
    assert all('thumos14' in name for name in list_models('*thumos14*'))
    assert find_config(TINY) == repo_root / f'configs/tal_mts/{TINY}.py'
    with pytest.raises(UserError, match=f"(?s)model 'nothing' is unknown.*{TINY}"):
        find_config('nothing')


def test_model_by_name():
    network = init_model(TINY, device='cpu')
    assert not network.training
    assert network.meta['epoch'] == 5
    assert network.cfg.model.coarse_head.num_classes == 6
    weights = torch.load(find_weights(TINY), weights_only=True)['state_dict']
    assert all(torch.equal(network.state_dict()[k], v) for k, v in weights.items())


@pytest.fixture
def mine(monkeypatch, tmp_path):
    """A released model ``mine`` of a metafile; nothing else is known."""
    digest = hashlib.sha256(b'weights').hexdigest()[:8]
    path = tmp_path / f'mine-{digest}.pth'
    path.write_bytes(b'weights')
    entries = {'mine': {'Weights': f'zoo/{path.name}'}, 'other': {}}
    monkeypatch.setattr('mmtal_mts.apis.model_zoo.metafile_entries', lambda: entries)
    return path


def test_weights_are_found_in_a_folder_and_checked(mine, monkeypatch):
    monkeypatch.setenv('MMTAL_ZOO', str(mine.parent))
    assert find_weights('configs/any/mine.py') == mine
    mine.write_bytes(b'other content')
    with pytest.raises(UserError, match='the SHA-256 of the content begins with'):
        find_weights('mine')
    mine.unlink()
    with pytest.raises(UserError, match='(?s)weights of mine are neither.*MMTAL_ZOO'):
        find_weights('mine')
    with pytest.raises(UserError, match='no weights of other were released'):
        find_weights('other')


def test_files_are_fetched_once_and_checked(mine, monkeypatch):
    monkeypatch.setenv('MMTAL_ZOO', mine.parent.as_uri())
    path = find_weights('mine')
    assert path.read_bytes() == mine.read_bytes() and path != mine
    mine.unlink()
    assert find_weights('mine') == local_weights(mine.as_uri()) == path

    false = mine.parent / 'false-01234567.pth'
    false.write_bytes(b'other')
    with pytest.raises(UserError, match='cannot be fetched whole .invalid hash'):
        local_weights(false.as_uri())
    # Nothing of it is left to be found the next time.
    assert [p.name for p in path.parent.iterdir()] == [path.name]
    with pytest.raises(UserError, match='cannot be fetched'):
        local_weights((mine.parent / 'gone-01234567.pth').as_uri())
    with pytest.raises(UserError, match='does not end with -HASH.pth'):
        local_weights('https://example.org/model.pth')


def test_config_of_a_checkpoint(tmp_path):
    # Released ones hold that of their training, which may be of another version.
    cfg = checkpoint_config(find_weights(TINY))
    assert cfg.filename == str(find_config(TINY))
    torch.save(dict(meta=dict(cfg='model = dict(decoder=dict())')), tmp_path / 'old')
    with pytest.raises(UserError, match='older version .model.decoder.*give the conf'):
        checkpoint_config(tmp_path / 'old')
