"""The metafiles say what is true of configs, weights, and the numbers of the paper."""

from __future__ import annotations

import re

import pytest
import torch
from mmaction.registry import MODELS
from mmengine.config import Config
from tiny_models import is_of_features
from toy_runner import ROOT

from mmtal_mts.apis import find_weights, list_models
from mmtal_mts.apis.model_zoo import metafile_entries

MODELS_BY_NAME = metafile_entries()
CONFIGS = {path.stem: path for path in (ROOT / 'configs').glob('[!_]*/*.py')}
FUSED = sorted(name for name in CONFIGS if name.endswith('-two-stream'))
# Parameters of the published AFSD code: the baseline must stay what it is.
AFSD_PARAMETERS = {
    'afsd_i3d_1xb1-256x96x96-16e_thumos14-rgb': 44746069,
    'afsd_i3d_1xb1-256x96x96-16e_thumos14-flow': 44724117,
    'afsd_i3d_1xb1-768x96x96-16e_activitynet-rgb': 30158127,
    'afsd_i3d_1xb1-768x96x96-16e_activitynet-flow': 30136175,
}
T, A = 'tal-mts_i3d_1xb1-256x96x96', 'tal-mts_i3d_1xb1-768x96x96'


FACTS = {name: entry['Metadata'] for name, entry in MODELS_BY_NAME.items()}


def test_metafiles_list_every_config():
    listed = {name: ROOT / entry['Config'] for name, entry in MODELS_BY_NAME.items()}
    assert listed == CONFIGS


def test_published_baselines_have_their_numbers_of_parameters():
    found = {name: FACTS[name]['Parameters'] for name in AFSD_PARAMETERS}
    assert found == AFSD_PARAMETERS


@pytest.mark.parametrize('name', FUSED)
def test_two_streams_have_the_parameters_of_both(name):
    data = name.removesuffix('-two-stream').rpartition('_')[2]
    ends = (f'{data}-rgb', f'{data}-flow', f'48_{data}')
    parts = [n for n in CONFIGS if n.startswith('tal-mts_i3d') and n.endswith(ends)]
    assert len(parts) == 2
    assert FACTS[name]['Parameters'] == sum(FACTS[n]['Parameters'] for n in parts)


@pytest.mark.parametrize('name', sorted({*CONFIGS} - {*FUSED}))
def test_metafile_agrees_with_the_config(name):
    cfg = Config.fromfile(str(CONFIGS[name]))
    cfg.model.backbone.pop('pretrained', None)  # a download
    model, listed = MODELS.build(cfg.model), FACTS[name]
    assert listed['Parameters'] == sum(p.numel() for p in model.parameters())
    assert listed['Epochs'] == cfg.train_cfg.max_epochs
    modality = cfg.train_dataloader.dataset.get('modality', 'RGB')
    modality = 'Features' if is_of_features(cfg.model) else modality
    assert listed['Modality'] == modality


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
def test_paper_metrics_are_those_of_docs_reproduce(name, table, row, whole_range):
    text = (ROOT / 'docs/reproduce.md').read_text().split(f'## {table}:')[1]
    lines = [line for line in text.split('\n## ')[0].splitlines() if '|' in line]
    cells = [[cell.strip() for cell in line.strip('|').split('|')] for line in lines]
    values = next(c for c in cells if c[0] == row and 'ours' not in c[:2])
    head = [cell.replace('paper', '').strip() for cell in cells[0]]
    pairs = zip(head, values, strict=False)
    wanted = {key: float(v) for key, v in pairs if re.fullmatch(r'[\d.]+', v)}
    if whole_range:
        wanted[whole_range] = wanted.pop('average')
    assert FACTS[name]['Paper Metrics'] == {f'mAP@{k}': v for k, v in wanted.items()}


@pytest.mark.parametrize('name', MODELS_BY_NAME)
def test_what_is_measured_has_a_command_and_averages_are_true(name):
    entry = MODELS_BY_NAME[name]
    measured = {}
    for result in entry.get('Results', []):
        measured |= result['Metrics']
    assert bool(measured) == ('Command' in FACTS[name])
    assert measured or 'Weights' not in entry
    for metrics in (measured, FACTS[name].get('Paper Metrics', {})):
        parts = [v for k, v in metrics.items() if re.fullmatch(r'mAP@0\.[3-7]', k)]
        if len(parts) == 5 and 'mAP@0.3:0.7' in metrics:
            mean = pytest.approx(sum(parts) / 5, abs=0.06)
            assert metrics['mAP@0.3:0.7'] == mean


def test_released_files_are_listed_small_and_true(monkeypatch):
    monkeypatch.delenv('MMTAL_ZOO', raising=False)
    paths = {name: find_weights(name) for name in list_models(with_weights=True)}
    assert {*(ROOT / 'zoo').glob('*.pth')} == {*paths.values()}
    for name, path in paths.items():
        assert path.stat().st_size < 8_000_000
        meta = torch.load(path, weights_only=True)['meta']
        assert meta['cfg'] and meta['dataset_meta']['classes']
        assert path.name.startswith(f'{name}-')
