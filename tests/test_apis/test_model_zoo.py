"""Models by name: metafiles, the numbers of the paper, and files agree."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import pytest
import torch

from mmtal_mts.apis import find_config, find_weights, init_model, list_models
from mmtal_mts.apis.model_zoo import checkpoint_config, local_weights, metafile_entries
from mmtal_mts.utils import UserError

ROOT = Path(__file__).resolve().parents[2]
TINY = 'tal-mts_i3d-tiny_1xb4-128x48x48_synthetic'
MAX_BYTES = 8_000_000


@pytest.fixture(autouse=True)
def _no_zoo_elsewhere(monkeypatch, tmp_path):
    monkeypatch.delenv('MMTAL_ZOO', raising=False)
    monkeypatch.setattr(torch.hub, 'get_dir', lambda: str(tmp_path / 'hub'))


def released(folder: Path, name: str, content: bytes = b'weights') -> Path:
    """A file with a true hash in its name."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f'{name}-{hashlib.sha256(content).hexdigest()[:8]}.pth'
    path.write_bytes(content)
    return path


def reproduced(table: str, row: str) -> dict[str, float]:
    """The paper's numbers in a row of docs/reproduce.md, by column."""
    text = (ROOT / 'docs/reproduce.md').read_text().split(f'## {table}:')[1]
    lines = [line for line in text.split('\n## ')[0].splitlines() if '|' in line]
    cells = [[cell.strip() for cell in line.strip('|').split('|')] for line in lines]
    values = next(c for c in cells if c[0] == row and 'ours' not in c[:2])
    head = [cell.replace('paper', '').strip() for cell in cells[0]]
    pairs = zip(head, values, strict=False)
    return {key: float(v) for key, v in pairs if re.fullmatch(r'[\d.]+', v)}


T, A = 'tal-mts_i3d_1xb1-256x96x96', 'tal-mts_i3d_1xb1-768x96x96'


@pytest.mark.parametrize(
    ('name', 'table', 'row', 'whole_range'),
    [
        (f'{T}_thumos14-two-stream', 'Table I', '`T-rgb.py`, `T-flow.py`', None),
        (f'{A}_activitynet-two-stream', 'Table II', '`A-rgb.py`, `A-flow.py`', None),
        (f'{T}-25e_thumos14-rgb', 'Table V', '`T-rgb.py`', '0.1:0.7'),
        (f'{T}-25e_thumos14-flow', 'Table V', '`T-flow.py`', '0.1:0.7'),
        (f'{A}-25e_activitynet-rgb', 'Table IV', '`A-rgb.py`', '0.5:0.95'),
        (f'{A}-25e_activitynet-flow', 'Table IV', '`A-flow.py`', '0.5:0.95'),
    ],
)
def test_paper_metrics_are_those_of_the_tables(name, table, row, whole_range):
    wanted = reproduced(table, row)
    if whole_range:
        wanted[whole_range] = wanted.pop('average')
    paper = metafile_entries()[name]['Metadata']['Paper Metrics']
    assert paper == {f'mAP@{k}': v for k, v in wanted.items()}


def measured(entry):
    results = entry.get('Results', [])
    return {name: v for result in results for name, v in result['Metrics'].items()}


def test_only_what_has_a_command_counts_as_measured():
    for name, entry in metafile_entries().items():
        assert bool(measured(entry)) == ('Command' in entry['Metadata']), name
        if 'Weights' in entry:
            assert measured(entry), name


def test_averages_are_those_of_their_thresholds():
    for name, entry in metafile_entries().items():
        for metrics in (measured(entry), entry['Metadata'].get('Paper Metrics', {})):
            parts = [v for k, v in metrics.items() if re.fullmatch(r'mAP@0\.[3-7]', k)]
            if len(parts) == 5 and 'mAP@0.3:0.7' in metrics:
                mean = pytest.approx(sum(parts) / 5, abs=0.06)
                assert metrics['mAP@0.3:0.7'] == mean, name


def test_released_files_are_listed_small_and_true():
    names = list_models(with_weights=True)
    listed = {Path(metafile_entries()[name]['Weights']).name for name in names}
    assert {path.name for path in (ROOT / 'zoo').glob('*.pth')} == listed
    for name in names:
        path = find_weights(name)
        assert path.stat().st_size < MAX_BYTES
        meta = torch.load(path, weights_only=True)['meta']
        assert meta['cfg'] and meta['dataset_meta']['classes']
        assert path.name.startswith(f'{name}-')


def test_names():
    assert TINY in list_models() and TINY in list_models('*tiny*', with_weights=True)
    assert 'afsd_i3d_1xb1-256x96x96-16e_thumos14-rgb' in list_models('afsd*')
    assert all('thumos14' in name for name in list_models('*thumos14*'))
    assert find_config(TINY) == ROOT / f'configs/tal_mts/{TINY}.py'
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
    path = released(tmp_path / 'served', 'mine')
    entries = {'mine': {'Weights': f'zoo/{path.name}'}, 'other': {}}
    monkeypatch.setattr('mmtal_mts.apis.model_zoo.metafile_entries', lambda: entries)
    return path


def test_weights_are_found_in_a_folder_and_checked(mine, monkeypatch, tmp_path):
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
