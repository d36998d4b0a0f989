"""Models by name: metafiles, tables, the numbers of the paper and files agree."""

from __future__ import annotations

import hashlib
import re
import shutil
from pathlib import Path

import pytest
import torch

from mmtal_mts.apis import find_weights, list_models, load_model, model_info
from mmtal_mts.apis.model_zoo.index import read_index
from mmtal_mts.apis.model_zoo.tables import average, tables, with_table
from mmtal_mts.apis.model_zoo.weights import check_hash, fetch, local_weights
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


def reproduce_tables() -> dict[tuple[str, str], dict[str, float]]:
    """Rows of docs/reproduce.md by heading and first cell; values by column."""
    rows, heading, head = {}, '', []
    for line in (ROOT / 'docs/reproduce.md').read_text().splitlines():
        if line.startswith('## '):
            heading, head = line[3:].split(':')[0], []
        cells = [cell.strip() for cell in line.strip('|').split('|')]
        if not line.startswith('|') or set(line) <= set('|- '):
            continue
        if not head:
            head = [cell.replace('paper', '').strip() for cell in cells]
        elif 'ours' not in cells[:2]:
            pairs = zip(head[1:], cells[1:])
            rows[heading, cells[0]] = {
                key: float(value)
                for key, value in pairs
                if re.fullmatch(r'[\d.]+', value)
            }
    return rows


@pytest.mark.parametrize(
    ('name', 'row', 'whole_range'),
    [
        (
            'tal-mts_i3d_1xb1-256x96x96_thumos14-two-stream',
            ('Table I', '`T-rgb.py`, `T-flow.py`'),
            None,
        ),
        (
            'tal-mts_i3d_1xb1-768x96x96_activitynet-two-stream',
            ('Table II', '`A-rgb.py`, `A-flow.py`'),
            None,
        ),
        *(
            (f'tal-mts_i3d_1xb1-{size}-25e_{data}-{stream}', (table, row), average)
            for stream in ('rgb', 'flow')
            for size, data, table, row, average in (
                ('256x96x96', 'thumos14', 'Table V', f'`T-{stream}.py`', '0.1:0.7'),
                (
                    '768x96x96',
                    'activitynet',
                    'Table IV',
                    f'`A-{stream}.py`',
                    '0.5:0.95',
                ),
            )
        ),
    ],
)
def test_paper_metrics_are_those_of_the_tables(name, row, whole_range):
    wanted = reproduce_tables()[row]
    if whole_range:
        wanted[whole_range] = wanted.pop('average')
    assert model_info(name).paper == {f'mAP@{k}': v for k, v in wanted.items()}


def test_only_what_has_a_command_counts_as_measured():
    for model in read_index(ROOT / 'model-index.yml'):
        assert bool(model.measured) == bool(model.command), model.name
        if model.weights:
            assert model.measured, model.name


def test_averages_are_those_of_their_thresholds():
    for model in read_index(ROOT / 'model-index.yml'):
        for metrics in (model.measured, model.paper):
            parts = [v for k, v in metrics.items() if re.fullmatch(r'mAP@0\.[3-7]', k)]
            if len(parts) == 5 and 'mAP@0.3:0.7' in metrics:
                mean = pytest.approx(sum(parts) / 5, abs=0.06)
                assert metrics['mAP@0.3:0.7'] == mean, model.name


def test_tables_are_up_to_date():
    written = tables(ROOT)
    assert {path.name for path in written} == {'README.md', 'model_zoo.md'}
    for path, table in written.items():
        hint = f'{path}: run tools/misc/make_model_zoo.py'
        assert with_table(path, table) == path.read_text(encoding='utf-8'), hint
    assert '70.8 % (0.3:0.7)' in written[ROOT / 'README.md']


def test_tables_need_a_place(tmp_path):
    page = tmp_path / 'page.md'
    page.write_text('no place')
    with pytest.raises(UserError, match='page.md lacks the lines'):
        with_table(page, 'table')


def test_average_is_the_one_that_papers_compare():
    assert average({'mAP@0.5': 1.0}) is None
    assert average({'mAP@0.1:0.5': 1.0, 'mAP@0.3:0.7': 2.0}) == ('0.3:0.7', 2.0)
    assert average({'mAP@0.1:0.7': 3.0}) == ('0.1:0.7', 3.0)


def test_released_files_are_listed_small_and_true():
    listed = {model_info(name).weights for name in list_models(with_weights=True)}
    assert {path.name for path in (ROOT / 'zoo').glob('*.pth')} == listed
    for name in list_models(with_weights=True):
        path = find_weights(name)
        assert path.stat().st_size < MAX_BYTES
        meta = torch.load(path, weights_only=True)['meta']
        assert meta['cfg'] and meta['dataset_meta']['classes']
        assert path.name.startswith(f'{name}-')


def test_names():
    assert TINY in list_models() and TINY in list_models('*tiny*', with_weights=True)
    assert 'afsd_i3d_1xb1-256x96x96-16e_thumos14-rgb' in list_models('afsd*')
    assert all('thumos14' in name for name in list_models('*thumos14*'))
    with pytest.raises(UserError, match="'nothing' is in no metafile"):
        model_info('nothing')


def test_a_metafile_that_lacks_a_field_is_named(tmp_path):
    (tmp_path / 'model-index.yml').write_text('Import: [metafile.yml]')
    (tmp_path / 'metafile.yml').write_text(
        'Models: [{Name: a, In Collection: b, Config: c, Metadata: {Modality: RGB}}]'
    )
    with pytest.raises(UserError, match=r'metafile.yml: model .a. lacks'):
        read_index(tmp_path / 'model-index.yml')
    with pytest.raises(UserError, match='other.yml cannot be read'):
        read_index(tmp_path / 'other.yml')


def test_model_by_name():
    network = load_model(TINY)
    assert not network.training
    assert network.meta['epoch'] == 5
    assert network.cfg.model.coarse_head.num_classes == 6
    weights = torch.load(find_weights(TINY), weights_only=True)['state_dict']
    assert all(torch.equal(network.state_dict()[k], v) for k, v in weights.items())


def test_a_damaged_file_is_refused(tmp_path, monkeypatch):
    path = released(tmp_path, 'mine')
    assert find_weights('configs/any/mine.py', tmp_path) == path
    path.write_bytes(b'other content')
    monkeypatch.setenv('MMTAL_ZOO', str(tmp_path))
    with pytest.raises(UserError, match='the SHA-256 of the content begins with'):
        find_weights('mine')
    with pytest.raises(UserError, match=f'no weights of other in {tmp_path}'):
        find_weights('other')


def test_the_listed_file_wins_over_an_older_one(tmp_path):
    old = released(tmp_path, TINY, b'some older training')
    assert find_weights(TINY, tmp_path) == old
    shutil.copy(find_weights(TINY), tmp_path)
    assert find_weights(TINY, tmp_path).name == model_info(TINY).weights


def test_files_are_fetched_once_and_checked(tmp_path, monkeypatch):
    served = tmp_path / 'served'
    source = released(served, 'mine')
    url = source.as_uri()
    path = local_weights(url)
    assert path.read_bytes() == source.read_bytes()
    source.unlink()
    assert fetch(url) == path

    served_tiny = released(served, TINY, b'not the listed file')
    served_tiny.rename(served / model_info(TINY).weights)
    with pytest.raises(UserError, match='damaged or another file'):
        find_weights(TINY, served.as_uri())
    # Nothing of it is left to be found the next time.
    assert sorted(p.name for p in path.parent.iterdir()) == [path.name]
    with pytest.raises(UserError, match='no weights of mine were released'):
        find_weights('mine', served.as_uri())
    with pytest.raises(UserError, match='cannot be fetched'):
        fetch((served / 'gone-01234567.pth').as_uri())
    with pytest.raises(UserError, match='does not end with -HASH.pth'):
        fetch('https://example.org/model.pth')


def test_hash_of_a_longer_name(tmp_path):
    digest = hashlib.sha256(b'x').hexdigest()
    path = tmp_path / f'm-{digest}.pth'
    path.write_bytes(b'x')
    assert check_hash(path) == path
