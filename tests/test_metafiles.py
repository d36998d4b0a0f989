"""The metafiles say what is true of their configs."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from mmaction.registry import MODELS
from mmengine.config import Config

import mmtal_mts  # noqa: F401  registers the components

ROOT = Path(__file__).parents[1] / 'configs'
ALL = sorted(str(path.relative_to(ROOT)) for path in ROOT.glob('[!_]*/*.py'))
# Parameters of the published AFSD code: the baseline must stay what it is.
AFSD_PARAMETERS = {
    'afsd/afsd_i3d_1xb1-256x96x96-16e_thumos14-rgb.py': 44746069,
    'afsd/afsd_i3d_1xb1-256x96x96-16e_thumos14-flow.py': 44724117,
    'afsd/afsd_i3d_1xb1-768x96x96-16e_activitynet-rgb.py': 30158127,
    'afsd/afsd_i3d_1xb1-768x96x96-16e_activitynet-flow.py': 30136175,
}


def metafile_models() -> dict[str, dict]:
    index = yaml.safe_load((ROOT.parent / 'model-index.yml').read_text())
    return {
        model['Config']: model
        for path in index['Import']
        for model in yaml.safe_load((ROOT.parent / path).read_text())['Models']
    }


@pytest.mark.parametrize('name', AFSD_PARAMETERS)
def test_published_baseline_has_its_number_of_parameters(name):
    listed = metafile_models()[f'configs/{name}']['Metadata']['Parameters']
    assert listed == AFSD_PARAMETERS[name]


def test_metafiles_list_every_config():
    assert set(metafile_models()) == {f'configs/{name}' for name in ALL}


@pytest.mark.parametrize(
    'name', [name for name in ALL if name.endswith('-two-stream.py')]
)
def test_two_streams_have_the_parameters_of_both(name):
    listed = metafile_models()
    data = name.rpartition('-two-stream')[0].rpartition('_')[2]
    single = [
        model['Metadata']['Parameters']
        for config, model in listed.items()
        if Path(config).name.startswith('tal-mts_i3d')
        and Path(config).stem.endswith((f'{data}-rgb', f'{data}-flow', f'48_{data}'))
    ]
    assert len(single) == 2
    assert listed[f'configs/{name}']['Metadata']['Parameters'] == sum(single)


@pytest.mark.parametrize(
    'name', [name for name in ALL if not name.endswith('-two-stream.py')]
)
def test_metafile_agrees_with_the_config(name):
    cfg = Config.fromfile(str(ROOT / name))
    cfg.model.backbone.pop('pretrained', None)  # a download
    listed = metafile_models()[f'configs/{name}']
    assert listed['Name'] == Path(name).stem
    model = MODELS.build(cfg.model)
    assert listed['Metadata']['Parameters'] == sum(
        p.numel() for p in model.parameters()
    )
    assert listed['Metadata']['Epochs'] == cfg.train_cfg.max_epochs
    modality = cfg.train_dataloader.dataset.get('modality', 'RGB')
    if cfg.model.backbone.type == 'FeatureEmbedding':
        modality = 'Features'
    assert listed['Metadata']['Modality'] == modality
